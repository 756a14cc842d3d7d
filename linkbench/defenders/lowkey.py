"""A cloak without a target: to networks the photo shows nobody that they have seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from linkbench.api.base import Defender
from linkbench.api.fields import Count, Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class LowKey(Defender):
    """Push deep features away from where they were, in the photo and in its blurred copy. Cherepanova et al. 2021.

    Every network of the predictors that it sees counts the same. The paper's perceptual distance is a network's (LPIPS)
    that nobody may ship here; DSSIM = (1 - SSIM) / 2 takes its place, so `penalty` is not comparable in size.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})

    epsilon: Epsilon = Field(default=33 / 255, description="largest change of a pixel; all steps and the start: 33/255")
    steps: Annotated[Count, Field(description="signed gradient steps")] = 50
    step_size: Epsilon = Field(default=0.0025, description="move of a pixel per step")
    start: Epsilon = Field(default=0.005, description="largest random change before the first step")
    penalty: Annotated[float, Field(ge=0, description="weight of DSSIM against the relative feature distance")] = 0.05
    blur_width: Annotated[int, Field(ge=1, le=99, description="pixels of the blurring kernel, odd")] = 7
    blur_sigma: Annotated[float, Field(gt=0, le=64, description="standard deviation of the blur, pixels")] = 3.0

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4}

    @field_validator("blur_width")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a blurring kernel has a pixel in its middle: expected an odd number, found {value}")
        return value

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.channels.gaussian import convolved, gaussian
        from linkbench.metrics.image_quality import dssim
        from linkbench.models.features import deep_features

        features = deep_features(knowledge.predictor)
        if self.epsilon == 0 or not len(photos):
            return photos.clone()

        kernel = gaussian(self.blur_sigma, self.blur_width // 2)

        def blurred(image: Tensor) -> Tensor:
            return convolved(image, kernel)

        with torch.no_grad():
            clean = features(photos)
            lengths = [part.square().sum(dim=1).clamp(min=1e-12) for part in clean]
        low, high = (photos - self.epsilon).clamp_(min=0), (photos + self.epsilon).clamp_(max=1)
        point = photos + self.start * knowledge.uniform("lowkey", tuple(photos.shape[1:]), photos)
        point = torch.clamp(point, low, high)
        for _ in range(self.steps):
            with torch.enable_grad():
                point.requires_grad_(True)
                gain = -self.penalty * dssim(photos, point)
                for seen in (features(point), features(blurred(point))):
                    for part, origin, length in zip(seen, clean, lengths, strict=True):
                        gain = gain + (part - origin).square().sum(dim=1) / length / (2 * len(clean))
                (gradient,) = torch.autograd.grad(gain.sum(), point)
            point = torch.clamp(point.detach() + self.step_size * gradient.sign(), low, high)
        return point
