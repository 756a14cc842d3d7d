"""Photos after strong JPEG: a poison in fine detail does not survive it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor


class JpegFilter(Countermeasure):
    """The predictor sees photos as JPEG files show them. Liu et al. 2023.

    The files are those of the channel `jpeg`; gradients pass through it as it says.
    """

    quality: int = Field(default=10, ge=1, le=100, description="as in libjpeg; the paper takes 10")

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        import torch

        from linkbench.channels.jpeg import Jpeg

        channel = Jpeg(quality=self.quality)
        if torch.is_grad_enabled() and photos.requires_grad:
            return channel.through(photos)
        return channel.publish(photos)
