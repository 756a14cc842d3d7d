"""Networks that shrink photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from linkbench.api.base import Channel

if TYPE_CHECKING:
    from torch import Tensor


class Resize(Channel):
    """Shrinks photos and enlarges them to their old size, antialiased; then eight bits.

    Photos whose shorter side is no longer than `size` are not shrunk.
    """

    size: int | None = Field(default=None, ge=1, le=4096, description="shorter side of the small photo, pixels")
    factor: float | None = Field(default=None, gt=0, le=1, description="or its part of the old side; default 0.5")
    filter: Literal["bilinear", "bicubic"] = Field(default="bilinear", description="the filter, both ways")

    @model_validator(mode="after")
    def _one_of_two(self) -> Resize:
        if self.size is not None and self.factor is not None:
            raise ValueError("give 'size' or 'factor', not both")
        return self

    def _resampled(self, photos: Tensor) -> Tensor:
        from torch.nn.functional import interpolate

        old = (photos.shape[-2], photos.shape[-1])
        part = min(1.0, self.size / min(old)) if self.size is not None else self.factor or 0.5
        small = (max(1, round(old[0] * part)), max(1, round(old[1] * part)))
        if small == old:
            return photos
        down = interpolate(photos, small, mode=self.filter, antialias=True, align_corners=False)
        up = interpolate(down, old, mode=self.filter, antialias=True, align_corners=False)
        return up.clamp(0, 1)  # bicubic overshoots

    def publish(self, photos: Tensor) -> Tensor:
        from linkbench.api.rounding import eight_bits

        return eight_bits(self._resampled(photos))

    def through(self, photos: Tensor) -> Tensor:
        """The published values with the true gradient of the resampling; straight through the rounding."""
        from linkbench.api.rounding import eight_bits, with_gradient_of

        soft = self._resampled(photos)
        return with_gradient_of(soft, eight_bits(soft))
