"""Blurred photos: a poison in fine detail is averaged away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor


class BlurFilter(Countermeasure):
    """The predictor sees photos after a Gaussian blur, the one of the defender `blur`."""

    sigma: Annotated[float, Field(gt=0.2, le=64, description="standard deviation in pixels")] = 1.0

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.defenders.blur import blurred

        return blurred(photos, self.sigma)
