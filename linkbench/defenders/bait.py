"""Noise that a network which already knows faces binds to wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.defenders.unlearnable import FoundNoise

if TYPE_CHECKING:
    from linkbench.api.knowledge import StudySet


class Bait(FoundNoise):
    """Binding artificial perturbations to incorrect targets. Li, Xu, Cai, Fang, Wu, Lao, Ling & Wang 2026 (BAIT).

    Whoever starts from a network that knows faces need not learn from the noise what the photo shows him. So the noise
    is found with such a network, the predictor that the defender sees: it learns the true labels of the noisy photos a
    little (the inner problem), then the noise takes signed steps towards the next variant, cyclically (the outer one).
    per, and photos that were not studied: as in `unlearnable`.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1, description="of the network (AdamW)")] = 0.001

    def learn(self, study_set: StudySet) -> Any:
        """The noise. Raises PluginError for photos of one class only."""
        return self.find(study_set, None, bait=True)
