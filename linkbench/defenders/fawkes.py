"""A cloak: to a network the photo shows somebody else, to people hardly anything has changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.fields import Count, Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet

MODES = {"low": (0.004, 40), "mid": (0.012, 75), "high": (0.017, 150)}
"""Largest DSSIM, gradient steps."""


class Fawkes(Defender):
    """Move deep features toward a dissimilar person within a perceptual budget. Shan et al. 2020.

    The budget is on DSSIM = (1 - SSIM) / 2, photo by photo, and is kept exactly before publication; epsilon bounds each
    pixel besides. The features are those of linkbench.models.features. The target is the most distant of
    `candidates` people of the photos that the defender has studied: one for all photos of a person among them, one for
    each photo of anybody else. One method throughout: the target of the paper, the optimisation of its program.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})

    mode: Literal["low", "mid", "high"] = Field(
        default="mid", description="DSSIM of at most .004, .012, .017; 40, 75, 150 steps"
    )
    epsilon: Epsilon = 15 / 255
    dssim: Annotated[float, Field(gt=0, le=0.5, description="instead of the mode's largest DSSIM")] | None = None
    steps: Annotated[Count, Field(description="instead of the mode's gradient steps")] | None = None
    step_size: Epsilon = Field(default=1 / 255, description="about the largest move of a pixel per step (Adam)")
    candidates: Annotated[Count, Field(description="people of whom the most distant one is the target")] = 50

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4, "candidates": 3}

    def budget(self) -> Budget:
        """DSSIM of at most d is SSIM of at least 1 - 2 d."""
        return Budget("ssim", 1 - 2 * self._largest, ceiling=self.epsilon)

    @property
    def _largest(self) -> float:
        return MODES[self.mode][0] if self.dssim is None else self.dssim

    def learn(self, study_set: StudySet) -> Any:
        """The people who may become targets, in features. Raises PluginError without two people."""
        from linkbench.defenders.cloak import find_targets

        return find_targets(study_set, self.candidates)

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.defenders.cloak import Limits, cloak

        steps = self.steps or MODES[self.mode][1]
        return cloak(photos, knowledge, Limits(self._largest, self.epsilon, steps, self.step_size))
