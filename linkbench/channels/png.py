"""Lossless files: eight bits per colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkbench.api.base import Channel

if TYPE_CHECKING:
    from torch import Tensor


class Png(Channel):
    """Rounds to multiples of 1/255: changes below 0.5/255 vanish."""

    def publish(self, photos: Tensor) -> Tensor:
        from linkbench.api.rounding import eight_bits

        return eight_bits(photos)

    def through(self, photos: Tensor) -> Tensor:
        """The published values; the gradient passes straight through the rounding."""
        from linkbench.api.rounding import with_gradient_of

        return with_gradient_of(photos, self.publish(photos.detach()))
