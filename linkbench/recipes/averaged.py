"""Answers averaged over slightly changed copies of a photo, so that no one point in front of a network decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.training_data import TrainingData


class Averaged(Countermeasure):
    """The predictor is the mean of its answers to copies of a photo, each changed a little.

    `noise`: by Gaussian noise that follows from the pixels. `adversarial`: by a signed step toward each variant of each
    phenotype, as his own network sees it; all steps are equally long, so they favour nobody, but a photo that was
    pushed just over an edge is pushed back by one of them. After PrivacyProber (Rot et al. 2022). Gradients go through;
    those steps count as constant.
    """

    copies: Literal["noise", "adversarial"] = Field("noise", description="how the copies are made")
    amount: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="deviation of the noise, or length of the steps, in [0, 1] pixel units"
    )
    draws: int = Field(16, ge=1, le=1000, description="noisy copies; of steps there is one to each variant")

    def learn(self, data: TrainingData) -> dict[str, Tensor]:
        """How many variants each phenotype has."""
        from linkbench.models.looks import variant_counts

        return variant_counts(data.schema)

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.models.looks import Noise

        return photos + self.amount * Noise(photos).next() if self.copies == "noise" else photos

    def answer(
        self,
        network: Callable[[Tensor], Tensor],
        photos: Tensor,
        learned: Mapping[str, Tensor],
        secret: int | None,
    ) -> Tensor:
        from linkbench.models.looks import Noise, mean_answer, steps_toward_each

        if self.copies == "noise":
            noise = Noise(photos, secret)
            copies = (photos + self.amount * noise.next() for _ in range(self.draws))
        else:
            copies = ((photos + self.amount * way) for way in steps_toward_each(network, photos))
        return mean_answer([network(copy) for copy in copies], learned["variants"].tolist())
