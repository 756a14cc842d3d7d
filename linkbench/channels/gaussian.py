"""Gaussian kernels, and convolution with the same kernel along both axes: the Gaussian is separable."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian(sigma: float, reach: int) -> Tensor:
    """float64 [2 * reach + 1], a Gaussian of sigma pixels that sums to 1."""
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    return kernel / kernel.sum()


def convolved(images: Tensor, kernel: Tensor, edges: Literal["replicate", "constant"] = "replicate") -> Tensor:
    """float [n, c, h, w] convolved with a symmetric kernel [odd] down and across; differentiable.

    edges: continued by their last pixel, or by zeros.
    """
    reach, channels = len(kernel) // 2, images.shape[1]
    kernel = kernel.to(device=images.device, dtype=images.dtype)
    down, across = (kernel.view(shape).expand(channels, 1, -1, -1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    out = F.conv2d(F.pad(images, (0, 0, reach, reach), mode=edges), down, groups=channels)
    return F.conv2d(F.pad(out, (reach, reach, 0, 0), mode=edges), across, groups=channels)
