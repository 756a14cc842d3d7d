"""Pixelation: a classical filter that aims at people's eyes, not at networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from linkbench.api.base import Defender

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class Pixelate(Defender):
    """Squares of one colour, the mean of their pixels; squares at the right and lower edge may be cut. No budget."""

    block: Annotated[int, Field(ge=1, le=1024, description="side of a square in pixels")] = 8

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from torch.nn import functional as F

        height, width = photos.shape[-2:]
        # ceil_mode averages cut squares over the pixels that they have
        small = F.avg_pool2d(photos, self.block, ceil_mode=True)
        large = small.repeat_interleave(self.block, dim=2).repeat_interleave(self.block, dim=3)
        return large[..., :height, :width].clamp(0, 1)
