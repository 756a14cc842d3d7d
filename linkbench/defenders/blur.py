"""Gaussian blur: a classical filter that aims at people's eyes, not at networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from linkbench.api.base import Defender

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge

REACH = 4
"""The kernel ends after this many sigma: what is cut off weighs less than 1e-4."""


def blurred(photos: Tensor, sigma: float) -> Tensor:
    """float [n, 3, h, w] in [0, 1] after a Gaussian blur of sigma pixels; differentiable. Edges: the last pixel."""
    from linkbench.channels.gaussian import convolved, gaussian

    return convolved(photos, gaussian(sigma, max(1, math.ceil(REACH * sigma)))).clamp(0, 1)


class Blur(Defender):
    """Gaussian blur, edges continued by their last pixel. It has no budget; its changes are measured."""

    sigma: Annotated[float, Field(gt=0, le=64, description="standard deviation in pixels")] = 2.0

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        return blurred(photos, self.sigma)
