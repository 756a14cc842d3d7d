"""Randomised smoothing: a network votes on many noisy copies of a photo, which no small change can turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure, Smoothing

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.training_data import TrainingData

GLANCES = 8
"""Noisy copies whose probabilities are averaged wherever no votes are counted: for gradients, and in training."""


class Smoothed(Countermeasure):
    """The predictor is a vote: `draws` noisy copies of a photo are looked at, and the most frequent answer counts.

    Cohen, Rosenfeld & Kolter 2019: what the vote says of a photo cannot be changed by a change of small 2-norm, and how
    small is proven photo by photo. The network is trained on noisy photos. The votes are the predicted probabilities.
    Whoever follows gradients averages the probabilities of a few noisy copies instead (Salman et al. 2019); the noise
    of the vote itself nobody can know beforehand.
    """

    sigma: Annotated[float, Field(gt=0, le=4, description="deviation of the noise, in [0, 1] pixel units")] = 0.12
    draws: int = Field(1000, ge=10, le=100_000, description="noisy copies of a photo that vote")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {**super().trial(folder), "draws": 20}

    def smoothing(self) -> Smoothing:
        return Smoothing(self.sigma, self.draws)

    def learn(self, data: TrainingData) -> dict[str, Tensor]:
        """How many variants each phenotype has."""
        from linkbench.models.looks import variant_counts

        return variant_counts(data.schema)

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.models.looks import Noise

        return photos + self.sigma * Noise(photos).next()

    def answer(
        self,
        network: Callable[[Tensor], Tensor],
        photos: Tensor,
        learned: Mapping[str, Tensor],
        secret: int | None,
    ) -> Tensor:
        from linkbench.models.looks import Noise, mean_answer, votes

        sizes = learned["variants"].tolist()
        if secret is None:
            noise = Noise(photos)
            return mean_answer([network(photos + self.sigma * noise.next()) for _ in range(GLANCES)], sizes)
        return votes(network, photos, Noise(photos, secret), self.sigma, self.draws, sizes).log()
