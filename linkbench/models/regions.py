"""Skin and hair in a photo of a face that fills it, found by where they are and by their colour; no network is asked.

Photos: float [n, 3, h, w] in [0, 1], one face each, cut as linkbench's cohorts cut them. Places are parts of height
and width, from the top left corner. They were set by looking at rendered faces and at CelebA's cut.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from linkbench.channels.gaussian import convolved, gaussian
from linkbench.metrics.colour import lab

CHEEKS = (0.40, 0.66, 0.36, 0.64)
"""Top, bottom, left and right of a box that shows skin and little else."""

CROWN = (0.06, 0.28, 0.36, 0.64)
"""The same for hair, where there is any; a forehead may reach into it."""

FACE = (0.52, 0.50, 0.46, 0.36)
"""An ellipse that holds the face: its centre and half its height and width."""

SHOULDERS = 0.55
"""Below this a dark place may be clothes; hair counts less and less there."""

SKIN_SPREAD, HAIR_SPREAD = 11.0, 12.0
"""How far colours of a region lie around its median, in CIELAB, lightness halved, as light falls unevenly."""

LEAST = 0.05
"""Part of the crown that must not look like skin for the hair to be seen."""

SOFT = 1.2
"""Standard deviation in pixels at 64 px of the edge of a region."""


class Regions(NamedTuple):
    """Soft regions [n, h, w] in [0, 1] and their colours in CIELAB, [n, 3]; unseen hair: region 0, colour NaN."""

    skin: Tensor
    hair: Tensor
    skin_colour: Tensor
    hair_colour: Tensor


def find_regions(photos: Tensor) -> Regions:
    """Where skin and hair are, photo by photo."""
    colours = lab(photos)
    height, width = photos.shape[-2:]
    y = ((torch.arange(height, device=photos.device) + 0.5) / height)[:, None]
    x = ((torch.arange(width, device=photos.device) + 0.5) / width)[None]

    def inside(box: tuple[float, float, float, float]) -> Tensor:
        top, bottom, left, right = box
        return ((y >= top) & (y < bottom) & (x >= left) & (x < right)).expand(len(photos), -1, -1)

    skin_colour = _median(colours, inside(CHEEKS))
    like_skin = _like(colours, skin_colour, SKIN_SPREAD)
    down, right, tall, wide = FACE
    outside = ((y - down) / tall).square() + ((x - right) / wide).square() - 1
    skin = like_skin * torch.exp(-6 * outside.clamp_min(0))
    crown = inside(CROWN)
    bare = crown & (like_skin < 0.4)
    seen = bare.flatten(1).sum(dim=1) >= LEAST * crown.flatten(1).sum(dim=1)
    hair_colour = _median(colours, bare).where(seen[:, None], torch.nan)
    hair = _like(colours, hair_colour, HAIR_SPREAD).nan_to_num(0.0) * (1 - skin)
    hair = hair * torch.exp(-((y - SHOULDERS).clamp_min(0) / 0.15).square())
    return Regions(_soft(skin), _soft(hair), skin_colour, hair_colour)


def _median(colours: Tensor, where: Tensor) -> Tensor:
    """[n, 3], the median of each channel over the pixels bool [n, h, w]; NaN where there are none."""
    flat = colours.flatten(2).where(where.flatten(1)[:, None], torch.nan)
    return flat.nanmedian(dim=2).values


def _like(colours: Tensor, colour: Tensor, spread: float) -> Tensor:
    """[n, h, w], how well each pixel's colour fits one colour [n, 3], 1 at best."""
    apart = colours - colour[:, :, None, None]
    squared = (apart[:, 0] / 2).square() + apart[:, 1:].square().sum(dim=1)
    return torch.exp(-squared / (2 * spread**2))


def _soft(region: Tensor) -> Tensor:
    sigma = SOFT * region.shape[-1] / 64
    return convolved(region[:, None].expand(-1, 3, -1, -1), gaussian(sigma, int(3 * sigma) + 1))[:, 0]
