"""How much a photo was changed: photos before and after, torch float [n, 3, h, w] in [0, 1], to one number each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

WINDOW, SIGMA = 11, 1.5
"""The Gaussian window of SSIM, pixels (Wang et al. 2004)."""
K1, K2 = 0.01, 0.03
"""The constants of SSIM that keep its quotients finite (Wang et al. 2004)."""
PSNR_CAP = 100.0
"""PSNR of equal photos is infinite; tables hold finite numbers, so no PSNR is reported above this, dB."""


def linf(before: Tensor, after: Tensor) -> Tensor:
    """Largest change of a pixel's colour, float64 [n], in [0, 1]."""
    return (after.double() - before.double()).abs().flatten(1).amax(dim=1)


def l2(before: Tensor, after: Tensor) -> Tensor:
    """Euclidean length of the change over all pixels and colours, float64 [n], pixel range 1."""
    return (after.double() - before.double()).square().flatten(1).sum(dim=1).sqrt()


def psnr(before: Tensor, after: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, float64 [n], dB, at most PSNR_CAP."""
    error = (after.double() - before.double()).square().flatten(1).mean(dim=1)
    return (-10 * error.clamp_min(10 ** (-PSNR_CAP / 10)).log10()).clamp_max(PSNR_CAP)


def ssim(before: Tensor, after: Tensor) -> Tensor:
    """Structural similarity, float [n] of the photos' dtype, 1 for equal photos; differentiable.

    Mean over colours and over the places where the window lies wholly inside the photo, as in the authors' program
    (Wang et al. 2004, Eq. 13). Raises ValueError for photos smaller than the window, 11 pixels.
    """
    import torch

    h, w = before.shape[-2:]
    if min(h, w) < WINDOW:
        raise ValueError(f"SSIM needs photos of at least {WINDOW} pixels a side, got {h}x{w}")
    maps = torch.stack([before, after, before * before, after * after, before * after])
    maps = _smoothing(h, before).T @ maps @ _smoothing(w, before)
    mean_x, mean_y, xx, yy, xy = maps
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    var_x, var_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    similarity: Tensor = (luminance * structure).flatten(1).mean(dim=1)
    return similarity


def dssim(before: Tensor, after: Tensor) -> Tensor:
    """[n], structural dissimilarity (1 - SSIM) / 2 in [0, 1]; differentiable. Photos float [n, 3, h, w] in [0, 1].

    In full precision wherever it is called: what cloaks may change is far below the resolution of bfloat16.
    """
    import torch

    with torch.autocast(before.device.type, enabled=False):
        return (1 - ssim(before, after)) / 2


def _smoothing(extent: int, like: Tensor) -> Tensor:
    """The Gaussian window as a banded matrix [extent, extent - WINDOW + 1]: faster than a one-channel convolution."""
    import torch

    place = torch.arange(extent, dtype=like.dtype, device=like.device)[:, None]
    start = torch.arange(extent - WINDOW + 1, dtype=like.dtype, device=like.device)
    offset = place - start - WINDOW // 2
    weights = torch.exp(-offset.square() / (2 * SIGMA**2)) * (offset.abs() <= WINDOW // 2)
    return weights / weights.sum(dim=0)
