"""Colours as people see them: CIELAB, in which equal distances look about equally large.

Photos are torch float [n, 3, h, w] in [0, 1], sRGB (IEC 61966-2-1) under D65.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to CIE XYZ."""

EDGE = 6 / 29
"""Below this the cube root of CIELAB goes on as a straight line (CIE 15)."""


def lab(photos: Tensor) -> Tensor:
    """[n, 3, h, w], L* in 0 to 100, a* and b*; differentiable."""
    import torch

    linear = torch.where(photos <= 0.04045, photos / 12.92, ((photos.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("cd,ndhw->nchw", _matrix(photos), linear)
    root = torch.where(xyz > EDGE**3, xyz.clamp_min(EDGE**3) ** (1 / 3), xyz / (3 * EDGE**2) + 4 / 29)
    x, y, z = root.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def rgb(lab: Tensor) -> Tensor:
    """The photos of CIELAB colours, cut to [0, 1]; the inverse of `lab`, differentiable."""
    import torch

    light, a, b = lab.unbind(dim=1)
    y = (light + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(root > EDGE, root**3, 3 * EDGE**2 * (root - 4 / 29))
    linear = torch.einsum("cd,ndhw->nchw", torch.linalg.inv(_matrix(lab)), xyz)
    bright = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, bright).clamp(0, 1)


def delta_e(before: Tensor, after: Tensor) -> Tensor:
    """[n, h, w], how far apart the colours of each pixel look: the distance in CIELAB (CIE 1976)."""
    return (lab(after) - lab(before)).square().sum(dim=1).sqrt()


def _matrix(like: Tensor) -> Tensor:
    """Linear sRGB to XYZ, each row divided by the white of D65, so that white is 1, 1, 1."""
    import torch

    matrix = torch.tensor(TO_XYZ, dtype=torch.float64)
    return (matrix / matrix.sum(dim=1, keepdim=True)).to(like)
