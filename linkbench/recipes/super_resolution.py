"""Photos made small and large again by a network that has learned what detail clean photos have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure
from linkbench.recipes.channel import ChannelFilter
from linkbench.recipes.purify import LearningRate, UNetSteps, UNetWidth

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.training_data import TrainingData


class SuperResolution(Countermeasure):
    """The predictor sees photos that were made smaller and then enlarged by a U-Net, trained on the attacker's photos.

    Photos shrink by `factor` and grow again (bicubic, antialiased); the U-Net learns to give back what that took. It
    has seen no protected photo, so it suits any tool. Attribute recovery by super-resolution is PrivacyProber's (Rot et
    al. 2022).
    """

    factor: Annotated[float, Field(gt=0.05, lt=1)] = Field(0.5, description="the small photo's part of the old side")
    width: UNetWidth = 12
    steps: UNetSteps = 600
    learning_rate: LearningRate = 0.005

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"recipe": {"use": "standard", "epochs": 1}, "width": 2, "steps": 2}

    def learn(self, data: TrainingData) -> dict[str, Tensor]:
        """The weights of the U-Net."""
        import dataclasses

        from linkbench.api.training_data import Seen
        from linkbench.models.filters import Filter
        from linkbench.models.restoration import RestorationPlan, learn_to_restore

        examples = data.training
        small = dataclasses.replace(examples, photos=Seen(examples.photos, Filter(self._small(), {})))
        plan = RestorationPlan(self.width, self.steps, self.learning_rate)
        return learn_to_restore(data, [small], "super-resolution", plan)

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.models.unet import cleaned

        return cleaned(self._small().see(photos, {}), learned, self.width)

    def _small(self) -> ChannelFilter:
        """Photos that were small."""
        return ChannelFilter(channels=[{"use": "resize", "factor": self.factor, "filter": "bicubic"}])
