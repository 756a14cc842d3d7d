"""The decoy's cloak in one pass: a network that has learned what `decoy-pgd` climbs to step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Count, Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet

BATCH = 16
"""Photos of a training step."""

CELL = 4
"""Squares of this many pixels a side become one place with all their colours as planes: the network runs on few places,
which is where the time goes, and every pixel still has a change of its own."""

STEEPEST = 1.0
"""Longer gradients are cut to this: a step too far, and every change is at its bound, from where none leads back."""

FAINT = -8.0
"""Log-probabilities below this are the same to the network."""


class Amortised(Defender):
    """Match the predictors' outputs for a secret random other person's photo, as `decoy-pgd` does, without steps.

    A small U-Net sees the photo and what the predictors say of the decoy's, and gives the change, at most `epsilon`. It
    is trained on the studied people, shifted at random, with the divergence that `decoy-pgd` minimises as its
    loss, so that no cloak need be made beforehand; photos of others then take one pass and no gradient.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})

    epsilon: Epsilon = 0.025
    steps: Count = Field(600, description="of training, on 16 photos each")
    width: int = Field(16, ge=2, le=128, description="channels of the U-Net at its finest")
    learning_rate: float = Field(0.001, gt=0, le=1, description="of Adam, at first; it falls along a cosine")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 3, "width": 2}

    def learn(self, studied: StudySet) -> Any:
        """The people who may become decoys, and the network. Raises PluginError with fewer than two people."""
        import numpy as np
        import torch

        from linkbench.api import seeds
        from linkbench.api.progress import advance
        from linkbench.defenders.decoys import Match, find_pool, side_by_side
        from linkbench.models.augment import augment
        from linkbench.models.unet import UNet

        pool, random = find_pool(studied), seeds.generator(studied.seed, "amortised")
        turns = torch.Generator().manual_seed(seeds.derive(studied.seed, "amortised", "augment"))
        looks, members = side_by_side(studied.predictor)
        planes = 3 * CELL**2
        network = UNet(self.width, planes + members * studied.schema.width, planes).to(studied.device)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for step in range(self.steps):
            rows = random.choice(len(studied), min(BATCH, len(studied)), replace=False)
            wanted = pool.log_probs[torch.from_numpy(random.integers(0, len(pool.identity), len(rows)))]
            photos = augment(studied.pixels(np.asarray(rows)), 1.0, turns)
            apart = -Match(wanted.exp(), None).value(looks(self._moved(network, photos, wanted)))
            optimiser.zero_grad(set_to_none=True)
            apart.mean().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), STEEPEST)
            optimiser.step()
            schedule.step()
            advance(step + 1, self.steps, "training")
        return pool, network.eval().requires_grad_(False)

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.defenders.decoys import draw
        from linkbench.errors import PluginError

        if knowledge.learned is None:
            raise PluginError("amortised chooses decoys among people whom it has studied, but was given none")
        pool, network = knowledge.learned
        with torch.no_grad():
            return self._moved(network, photos, pool.log_probs[draw(knowledge, pool, None)])

    def _moved(self, network: Any, photos: Tensor, wanted: Tensor) -> Tensor:
        """The photos after the network's change; wanted: float64 [n, M, V], log-probabilities of the decoys."""
        import torch
        from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

        from linkbench.models.unet import CONTRAST

        high, wide = photos.shape[-2:]
        cells = pixel_unshuffle(pad(photos, (0, -wide % CELL, 0, -high % CELL), mode="replicate"), CELL)
        told = wanted.flatten(1).clamp_min(FAINT).to(photos)
        planes = told[:, :, None, None].expand(-1, -1, *cells.shape[-2:])
        seen = torch.cat([(cells - 0.5) * CONTRAST, planes / CONTRAST], dim=1)
        change = pixel_shuffle(network.planes(seen).tanh(), CELL)[..., :high, :wide]
        return (photos + self.epsilon * change).clamp(0.0, 1.0)
