"""What a place where photos are posted does to them: shrinks, sharpens, writes a JPEG file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from linkbench.api.base import Channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PRESETS: dict[str, dict[str, Any]] = {
    "mediawiki": {"longest": 1280, "quality": 80, "sharpen": 0.54, "radius": 0.4},
    "signal": {"longest": 1600, "quality": 70, "sharpen": 0.0},
}
"""Settings that stand in public code. mediawiki: DefaultSettings.php 1.33, the largest of $wgImageLimits,
$wgJpegQuality, $wgJpegPixelFormat yuv420, $wgSharpenParameter 0x0.4; ImageMagick's sharpening of that sigma is an
unsharp mask of 1 / (1 + share of the kernel's middle) = 0.54. signal: Signal for Android, PushMediaConstraints, level 1
(standard quality); it does not sharpen."""


class Platform(Channel):
    """Shrinks the longest side, sharpens (unsharp mask), writes a 4:2:0 JPEG file and enlarges again; eight bits.

    Photos that are small enough are not shrunk, but sharpened and written like the others, as if they were what the
    platform had made of larger ones. A preset gives the settings of a known platform; parameters given beside it
    override them.
    """

    libraries: ClassVar[tuple[str, ...]] = ("pillow",)

    preset: Literal["mediawiki", "signal"] | None = Field(
        default=None, description="settings as published in the code of MediaWiki 1.33, or of Signal for Android"
    )
    longest: int | None = Field(
        default=None, ge=8, le=16384, description="longest side of the posted photo, pixels; null: as it is"
    )
    quality: int = Field(default=80, ge=1, le=100, description="of the JPEG file, as in libjpeg")
    sharpen: float = Field(
        default=0.5, ge=0, le=5, description="how much of what a blur takes away is added; 0: not sharpened"
    )
    radius: float = Field(default=0.5, gt=0, le=16, description="standard deviation of that blur, pixels")

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("preset"), str):
            return {**PRESETS.get(given["preset"], {}), **given}
        return given

    def publish(self, photos: Tensor) -> Tensor:
        from linkbench.api.rounding import eight_bits
        from linkbench.channels.jpeg import Jpeg

        return eight_bits(self._posted(photos, Jpeg(quality=self.quality).publish))

    def through(self, photos: Tensor) -> Tensor:
        """The published values with the gradient of shrinking, sharpening and softened JPEG; straight through the
        rounding."""
        from linkbench.api.rounding import eight_bits, with_gradient_of
        from linkbench.channels.jpeg import Jpeg

        soft = self._posted(photos, Jpeg(quality=self.quality).through)
        return with_gradient_of(soft, eight_bits(soft))

    def _posted(self, photos: Tensor, file: Callable[[Tensor], Tensor]) -> Tensor:
        from torch.nn.functional import interpolate

        from linkbench.channels.gaussian import convolved, gaussian

        old = (photos.shape[-2], photos.shape[-1])
        part = min(1.0, self.longest / max(old)) if self.longest is not None else 1.0
        small = (max(1, round(old[0] * part)), max(1, round(old[1] * part)))
        out = photos
        if small != old:
            out = interpolate(out, small, mode="bilinear", antialias=True, align_corners=False)
        if self.sharpen:
            blur = convolved(out, gaussian(self.radius, math.ceil(4 * self.radius)))
            out = (out + self.sharpen * (out - blur)).clamp(0, 1)
        out = file(out)
        if small != old:
            out = interpolate(out, old, mode="bilinear", antialias=True, align_corners=False)
        return out
