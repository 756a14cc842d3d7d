"""The channel of the paper: photos reach the attacker as floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from linkbench.api.base import Channel

if TYPE_CHECKING:
    from torch import Tensor


class Float(Channel):
    """Changes nothing; changes below 8-bit steps survive, as in the paper and nowhere else."""

    eight_bit: ClassVar[bool] = False

    def publish(self, photos: Tensor) -> Tensor:
        return photos
