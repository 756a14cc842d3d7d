"""Removal by mixing: somebody else's face is laid over the photo; for what is gone nobody can train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Fraction01

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet


class Blend(Defender):
    """(1 - weight) photo + weight the photo of a secret random other person, one for all photos of a person."""

    weight: Fraction01 = Field(0.5, description="the other person's part of each pixel")

    def learn(self, studied: StudySet) -> Any:
        """One photo each of other people. Raises PluginError with fewer than two people."""
        from linkbench.defenders.others import donors

        return donors(studied, 2, "blend mixes people's photos with those of others")

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.api.training_data import to_unit
        from linkbench.defenders.others import learned_donors, met_first

        pool = learned_donors(knowledge, "blend chooses who is mixed in")
        first = met_first(knowledge, pool.identity)
        return photos.lerp(to_unit(pool.photos[first]).to(photos), self.weight)
