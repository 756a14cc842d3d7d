"""Photos of few grey levels: a poison smaller than a level is rounded away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor


class BitDepth(Countermeasure):
    """The predictor sees each colour rounded to 2 ** bits levels; gradients pass straight through. Liu et al. 2023."""

    bits: int = Field(default=2, ge=1, le=7, description="of each colour")

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.api.rounding import rounded, with_gradient_of

        return with_gradient_of(photos, rounded(photos, 2**self.bits - 1))
