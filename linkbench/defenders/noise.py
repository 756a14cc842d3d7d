"""Random noise: the control that tells what a change of this size does when nobody aims it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class Noise(Defender):
    """Independent noise on every pixel, then clipped to [0, 1]; sees nothing."""

    control: ClassVar[bool] = True

    epsilon: Epsilon = 0.01
    noise: Literal["uniform", "sign"] = Field(
        default="uniform", description="uniform in [-epsilon, epsilon], or -epsilon and +epsilon like a signed step"
    )

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        change = knowledge.uniform("noise", tuple(photos.shape[1:]), photos)
        if self.noise == "sign":
            change = (change >= 0).to(photos.dtype).mul_(2).sub_(1)
        return change.mul_(self.epsilon).add_(photos).clamp_(0, 1)
