"""Noise that makes training photos too easy: a network that needs only the noise learns nothing of the faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Count, Epsilon, Fraction01, PhenotypeName

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet

DEFAULTS = {"sample": (20, 0.01), "class": (1, 0.1)}
"""Noise steps in a round, training error at which to stop (Huang et al. 2021)."""


class FoundNoise(Defender):
    """Noise for classes or photos that is found in turns with a network that learns from it."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})

    epsilon: Epsilon = 8 / 255
    per: Literal["sample", "class"] = Field(default="class", description="one noise for each photo or for each class")
    phenotype: PhenotypeName | None = Field(default=None, description="whose labels are poisoned; null: all at once")
    rounds: Annotated[Count, Field(description="at most this often: train a little, then change the noise")] = 30
    train_steps: Annotated[Count, Field(description="training steps of the network in a round")] = 10
    steps: Count | None = Field(
        default=None, description="signed steps of the noise in a round; null: 20 per sample, 1 per class"
    )
    step_size: Epsilon = Field(default=0.8 / 255, description="change of the noise per step")
    learning_rate: Annotated[float, Field(gt=0, le=1, description="of the network (AdamW)")] = 0.003
    augment: Annotated[float, Field(ge=0, le=3)] = Field(
        default=1.0, description="strength of the flips and shifts that the noise must survive; 0: none"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"rounds": 1, "train_steps": 2, "steps": 2}

    def find(self, study_set: StudySet, stop: float | None, *, bait: bool) -> Any:
        """The noise; stop, bait: see `Parameters`. Raises PluginError for photos of one class only."""
        from linkbench.defenders.error_minimising import Parameters, find_noise

        plan = Parameters(
            self.epsilon, self.per == "sample", self.phenotype, self.rounds, self.train_steps,
            self.steps or DEFAULTS[self.per][0], self.step_size, stop, self.learning_rate, self.augment, bait,
        )  # fmt: skip
        return find_noise(study_set, plan)

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.defenders.error_minimising import add_noise

        return add_noise(photos, knowledge, self.epsilon)


class Unlearnable(FoundNoise):
    """Error-minimising noise: network and noise are both fitted to lower the training loss. Huang et al. 2021 (EM).

    per: `class` keeps one noise for each variant of the phenotype (without one: for each combination of variants),
    `sample` one for each studied photo; photos that were not studied get the noise of their class, none where there is
    no such class. The noise is kept with both signs. The network has the architecture of the predictor that the
    defender sees, and nothing of its weights.
    """

    stop: Fraction01 | None = Field(
        default=None,
        description="training error at which to stop, once the noise can have crossed its range; null: .01 per sample, "
        ".1 per class",
    )

    def learn(self, study_set: StudySet) -> Any:
        """The noise. Raises PluginError for photos of one class only."""
        return self.find(study_set, DEFAULTS[self.per][1] if self.stop is None else self.stop, bait=False)
