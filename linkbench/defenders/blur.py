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


def gaussian(photos: Tensor, sigma: float) -> Tensor:
    """float [n, 3, h, w] in [0, 1] after a Gaussian blur of sigma pixels; differentiable. Edges: the last pixel."""
    import torch
    from torch.nn import functional as F

    reach = max(1, math.ceil(REACH * sigma))
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(device=photos.device, dtype=photos.dtype)
    channels = photos.shape[1]
    # two passes of one dimension: the Gaussian is separable
    down, across = (kernel.view(shape).expand(channels, 1, -1, -1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    out = F.conv2d(F.pad(photos, (0, 0, reach, reach), mode="replicate"), down, groups=channels)
    out = F.conv2d(F.pad(out, (reach, reach, 0, 0), mode="replicate"), across, groups=channels)
    return out.clamp(0, 1)


def smoothed(photos: Tensor, width: int, sigma: float) -> Tensor:
    """float [n, 3, h, w] after a Gaussian blur; differentiable. width: odd, pixels; sigma: pixels; edges continued."""
    import torch
    from torch.nn import functional as F

    reach = width // 2
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(device=photos.device, dtype=photos.dtype)
    channels = photos.shape[1]
    down, across = (kernel.view(shape).expand(channels, 1, -1, -1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    padded = F.pad(photos, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, down, groups=channels), across, groups=channels)


class Blur(Defender):
    """Gaussian blur, edges continued by their last pixel. It has no budget; what it changes is measured as ever."""

    sigma: Annotated[float, Field(gt=0, le=64, description="standard deviation in pixels")] = 2.0

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        return gaussian(photos, self.sigma)
