"""The aligned face as a differentiable function of the photo's pixels, and a change of it written into the photo."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from linkbench.faces.geometry import Square
from linkbench.faces.photo import Photo

if TYPE_CHECKING:
    from torch import Tensor

HEAD = (0.72, 0.92)
"""Half axes of the ellipse in which a change is written, as parts of half the square's side, across and down: a head
with its hair. On the plain wall behind it a change would be seen first, and it would tell least of the face."""

FADE = 0.25
"""Part of the ellipse's radius over which a change fades out, so that no edge is seen."""

STRIP = 256
"""Rows of the photo that are changed at a time."""

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue count in a grey photo (ITU-R BT.601, as Pillow converts)."""


def cut(photo: Photo, square: Square, size: int) -> Tensor:
    """A square of the upright photo, float32 [1, 3, size, size] in [0, 1], sRGB; beyond the photo its edge goes on."""
    import torch

    left, top, right, bottom = _around(photo, square)
    pixels = torch.from_numpy(photo.seen(left, top, right, bottom)).permute(2, 0, 1)[None]
    return sample(pixels, square._replace(x=square.x - left, y=square.y - top), size)


def sample(pixels: Tensor, square: Square, size: int) -> Tensor:
    """The same of pixels float [n, 3, h, w], in which the square's place is given; differentiable.

    Averages blocks of as many pixels as one of the result covers, then interpolates: fine patterns do not alias.
    """
    from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

    block = max(1, min(round(square.side / size), *pixels.shape[-2:]))
    small = avg_pool2d(pixels, block)
    height, width = small.shape[-2:]
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    reach = square.side / block
    rows = [
        [reach * cosine / width, -reach * sine / width, 2 * square.x / block / width - 1],
        [reach * sine / height, reach * cosine / height, 2 * square.y / block / height - 1],
    ]
    place = pixels.new_tensor(rows).expand(len(pixels), 2, 3)
    grid = affine_grid(place, [len(pixels), 3, size, size], align_corners=False)
    return grid_sample(small, grid, mode="bilinear", padding_mode="border", align_corners=False)


def paste(photo: Photo, square: Square, change: Tensor) -> Photo:
    """The photo with a change float [3, s, s] of its cut-out square added to its own pixels, faded out around the head.

    The change is enlarged, not the face, so every detail stays. Nothing outside the square changes, nor alpha; no
    colour changes by more than the largest change given, and grey stays grey.
    """
    import torch

    out = np.array(photo.pixels)
    new, old = photo.changed(out).upright, photo.upright
    width, height = photo.size
    left, top, right, bottom = square.bounds(width, height)
    faded = change.detach().float().cpu() * fade(change.shape[-1])
    if photo.colours == 1:
        faded = (faded * torch.tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)
    most = float(np.iinfo(photo.pixels.dtype).max)
    for start in range(top, bottom, STRIP):
        stop = min(start + STRIP, bottom)
        moved = _enlarged(faded, square, (left, start, right, stop))
        before = old[start:stop, left:right, : photo.colours]
        after = before + moved.permute(1, 2, 0).numpy() * most
        new[start:stop, left:right, : photo.colours] = np.rint(after.clip(0, most)).astype(out.dtype)
    return photo.changed(out)


def fade(size: int) -> Tensor:
    """float32 [size, size]: 1 over the face, falling to 0 at the edge of the head as a cosine does."""
    import torch

    place = (torch.arange(size) + 0.5) / size * 2 - 1
    radius = torch.hypot(place / HEAD[0], place[:, None] / HEAD[1])
    return (1 - torch.cos(math.pi * ((1 - radius) / FADE).clamp(0, 1))) / 2


def _enlarged(change: Tensor, square: Square, part: tuple[int, int, int, int]) -> Tensor:
    """The change [c, s, s] at the pixels of a part of the photo, [c, h, w]; zero outside the square."""
    import torch
    from torch.nn.functional import grid_sample

    left, top, right, bottom = part
    x = (torch.arange(left, right) + 0.5 - square.x) * (2 / square.side)
    y = ((torch.arange(top, bottom) + 0.5 - square.y) * (2 / square.side))[:, None]
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    across, down = cosine * x + sine * y, cosine * y - sine * x
    grid = torch.stack([across, down], dim=-1)[None]
    out = grid_sample(change[None], grid, mode="bicubic", padding_mode="zeros", align_corners=False)[0]
    largest = change.abs().amax() if change.numel() else change.new_zeros(())
    inside = (across.abs() <= 1) & (down.abs() <= 1)
    return out.clamp(-largest, largest) * inside  # bicubic enlargement overshoots


def _around(photo: Photo, square: Square) -> tuple[int, int, int, int]:
    """The part of the photo that the square touches; the nearest pixel where it touches none."""
    width, height = photo.size
    left, top, right, bottom = square.bounds(width, height)
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)
