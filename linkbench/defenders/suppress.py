"""Learned removal: a network trained against opponents who keep learning on its output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.fields import Count

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet


class Suppress(Defender):
    """Mix a secret random other person into a photo, where and as finely as a network has learned to, within an SSIM.

    A small U-Net says how much of the other person each place takes, at each of three scales, and what else to change.
    It is trained on the studied people against networks that learn their phenotypes from its output, and that begin
    anew now and then: min-max, after semi-adversarial networks and PrivacyNet (Mirjalili et al. 2018, 2020), whose
    opponents stand still. No predictor is asked. See linkbench.defenders.semi_adversarial.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    ssim: Annotated[float, Field(gt=0, le=1, description="the least similarity to the photo")] = 0.8
    steps: Annotated[Count, Field(description="of training, on 16 photos each")] = 600
    width: int = Field(6, ge=2, le=64, description="channels of the U-Net at full resolution")
    opponents: Annotated[int, Field(ge=1, le=16)] = Field(2, description="networks that it is trained against")
    restarts: Annotated[int, Field(ge=0, le=100)] = Field(2, description="how often each of them begins anew")
    learning_rate: float = Field(0.004, gt=0, le=1, description="of Adam, at first; it falls along a cosine")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 3, "width": 2, "opponents": 1, "restarts": 1}

    def budget(self) -> Budget:
        return Budget("ssim", self.ssim)

    def learn(self, studied: StudySet) -> Any:
        """Other people, and the network. Raises PluginError with fewer than two people."""
        from linkbench.defenders.others import donors
        from linkbench.defenders.semi_adversarial import Plan, trained

        pool = donors(studied, 2, "suppress mixes people's photos with those of others")
        plan = Plan(self.ssim, self.steps, self.width, self.opponents, self.restarts, self.learning_rate)
        return pool, trained(studied, plan)

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.api.training_data import to_unit
        from linkbench.defenders.others import met_first
        from linkbench.errors import PluginError
        from linkbench.harness.budget import project

        if knowledge.learned is None:
            raise PluginError("suppress mixes in people whom it has studied, but was given none")
        pool, mixer = knowledge.learned
        chosen = met_first(knowledge, pool.identity)
        with torch.no_grad():
            return project(photos, mixer.mix(photos, to_unit(pool.photos[chosen]).to(photos)), self.budget())
