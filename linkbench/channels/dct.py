"""JPEG as a differentiable function (ITU-T T.81, JFIF 1.02; soft rounding: Shin and Song 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from linkbench.api.rounding import with_gradient_of

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""T.81 table K.1: quantisation steps of brightness at quality 50, row by row."""
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""T.81 table K.2: the same of the two colour differences."""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
"""JFIF: brightness and colour differences (around 0) of red, green, blue."""

Rounding = Callable[[Tensor], Tensor]


def steps(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """Quantisation steps int64 [8, 8] at a quality from 1 to 100, scaled as libjpeg does."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(table) * scale + 50) // 100).clamp(1, 255)


def _tables(table: tuple[tuple[int, ...], ...], quality: int | Sequence[int]) -> Tensor:
    """The steps of one quality, [8, 8], or of one per photo, [n, 1, 1, 1, 8, 8]."""
    if isinstance(quality, int):
        return steps(table, quality)
    each = {value: steps(table, value) for value in set(quality)}
    return torch.stack([each[value] for value in quality])[:, None, None, None]


@cache
def _basis() -> Tensor:
    """The orthonormal DCT-II, float64 [frequency, place]."""
    k, n = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    rows = torch.cos(torch.pi * (2 * n + 1) * k / 16) / 2
    return torch.cat([rows[:1] / 2**0.5, rows[1:]])


def soft_round(x: Tensor) -> Tensor:
    """Rounding with a gradient: x rounded plus the cube of what was rounded off (Shin and Song 2017)."""
    near = x.detach().round()
    return near + (x - near) ** 3


def round_softly(x: Tensor) -> Tensor:
    """x rounded, with the gradient of `soft_round`: what a file holds, and where it would move."""
    return with_gradient_of(soft_round(x), x.round())


def _quantised(plane: Tensor, table: Tensor, rounding: Rounding) -> Tensor:
    """Planes [n, c, h, w] (multiples of 8, centred on 0) through blocks of 8x8, quantisation and back.

    table: the steps, [8, 8] for all photos or [n, 1, 1, 1, 8, 8] for each.
    """
    n, c, h, w = plane.shape
    basis = _basis().to(plane)
    blocks = plane.reshape(n, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    waves = basis @ blocks @ basis.T
    kept = rounding(waves / table) * table
    return (basis.T @ kept @ basis).transpose(3, 4).reshape(n, c, h, w)


def _doubled(plane: Tensor, axis: int) -> Tensor:
    """Twice as many samples, each 3/4 of the nearer and 1/4 of the farther old one, as libjpeg enlarges colour."""
    length = plane.shape[axis]
    before = torch.cat([plane.narrow(axis, 0, 1), plane.narrow(axis, 0, length - 1)], dim=axis)
    after = torch.cat([plane.narrow(axis, 1, length - 1), plane.narrow(axis, length - 1, 1)], dim=axis)
    pair = torch.stack([0.75 * plane + 0.25 * before, 0.75 * plane + 0.25 * after], dim=axis + 1)
    return pair.flatten(axis, axis + 1)


def soft_jpeg(photos: Tensor, quality: int | Sequence[int], rounding: Rounding = soft_round) -> Tensor:
    """Photos float [n, 3, h, w] in [0, 1] after a 4:2:0 JPEG file, with `rounding` of the DCT's coefficients.

    quality: of all files, or of each. With torch.round within about one grey level of libjpeg, which computes in
    integers.
    """
    height, width = photos.shape[-2:]
    matrix = torch.tensor(TO_YCC, dtype=photos.dtype, device=photos.device)
    light, dark = (_tables(table, quality).to(photos) for table in (LUMINANCE, CHROMINANCE))
    padded = pad(photos * 255 - 128, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = torch.einsum("cd,ndhw->nchw", matrix, padded)
    brightness = _quantised(ycc[:, :1], light, rounding)
    colour = _quantised(avg_pool2d(ycc[:, 1:], 2), dark, rounding)
    # libjpeg enlarges what it decoded of the photo itself, not of the padding
    colour = colour[..., : (height + 1) // 2, : (width + 1) // 2]
    colour = _doubled(_doubled(colour, 2), 3)[..., :height, :width]
    back = torch.cat([brightness[..., :height, :width], colour], dim=1)
    rgb = torch.einsum("cd,ndhw->nchw", torch.linalg.inv(matrix.double()).to(matrix), back) + 128
    return (rgb / 255).clamp(0, 1)
