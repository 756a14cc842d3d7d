"""One change per person, made from a few of their photos and laid over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Count, Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.data import Array
    from linkbench.api.knowledge import Knowledge, StudySet
    from linkbench.defenders.decoys import Pool


class Album(NamedTuple):
    """What a person's mask is made from. decoys: who may be one; photos: of each person who was studied, uint8
    [k, 3, h, w], by identity; masks: those that have been made, by identity, float32 [3, h, w]."""

    decoys: Pool
    photos: dict[int, Array]
    masks: dict[int, Tensor]


class PersonalMask(Defender):
    """Add the same mask to all photos of a person: the one that makes some of them pass for a secret random other.

    The mask minimises what `decoy-pgd` does, the mean over the first `photos` photos of the person, by signed steps
    (one person, one mask: Zhong & Deng 2022). Later photos then cost nothing and need no network. A person of whom no
    photo was studied gets the mask of the photo at hand.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})
    studies_own: ClassVar[bool] = True

    epsilon: Epsilon = 0.025
    steps: Count = Field(30, description="gradient steps")
    photos: Annotated[int, Field(ge=1, le=1000)] = Field(3, description="of a person, from which the mask is made")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4}

    def learn(self, studied: StudySet) -> Any:
        """Who may be a decoy, and the first photos of everybody. Raises PluginError with fewer than two people."""
        import numpy as np

        from linkbench.defenders.decoys import find_pool
        from linkbench.defenders.others import eight_bit

        decoys = find_pool(studied)
        order = np.argsort(studied.identity, kind="stable")
        _, start, count = np.unique(studied.identity[order], return_index=True, return_counts=True)
        first = np.concatenate([order[at : at + min(self.photos, many)] for at, many in zip(start, count, strict=True)])
        who, shown = studied.identity[first], eight_bit(studied, first)
        return Album(decoys, {int(person): shown[who == person] for person in np.unique(who)}, {})

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.api.training_data import to_unit
        from linkbench.defenders.decoys import draw
        from linkbench.defenders.others import shown
        from linkbench.errors import PluginError

        album = knowledge.learned
        if not isinstance(album, Album):
            raise PluginError("personal-mask makes masks from photos that it has studied, but was given none")
        chosen = draw(knowledge, album.decoys, None)
        out = []
        for row, person in enumerate(shown(knowledge)):
            mask = album.masks.get(person)
            if mask is None:
                known = album.photos.get(person)
                own = photos[row : row + 1] if known is None else to_unit(known).to(photos)
                mask = self._mask(own, album.decoys.log_probs[chosen[row]], knowledge.predictor)
                if known is not None:
                    album.masks[person] = mask
            out.append(photos[row] + mask.to(photos))
        return torch.stack(out).clamp(0.0, 1.0) if out else photos

    def _mask(self, photos: Tensor, wanted: Tensor, predictor: Any) -> Tensor:
        """float [3, h, w]; photos: [k, 3, h, w] of one person; wanted: float64 [M, V], what is said of the decoy."""
        import torch

        from linkbench.defenders.decoys import Match, side_by_side
        from linkbench.defenders.pgd import FULL_STEP

        looks, _ = side_by_side(predictor)
        goal = Match(wanted.exp().expand(len(photos), -1, -1), None)
        mask, step = torch.zeros_like(photos[0]), FULL_STEP * self.epsilon / self.steps
        for _ in range(self.steps):
            mask.requires_grad_()
            value = goal.value(looks((photos + mask).clamp(0.0, 1.0))).mean()
            (slope,) = torch.autograd.grad(value, mask)
            mask = (mask.detach() + step * slope.sign()).clamp_(-self.epsilon, self.epsilon)
        return mask
