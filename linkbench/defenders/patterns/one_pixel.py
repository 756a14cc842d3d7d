"""One pixel and one colour per class, chosen by looking at the class's photos. Wu et al. 2023."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linkbench.api.data import Array

CORNERS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
"""[8, 3], the corners of the colour cube."""
FLOOR = 1e-3
"""Added to standard deviations: a class with one photo has none."""


class Target(NamedTuple):
    """Where and what: row and column of the pixel, colour float [3] of zeros and ones."""

    row: int
    column: int
    colour: tuple[float, float, float]


def scores(batches: Iterable[Tensor]) -> Tensor:
    """float64 [8, h, w]: mean / standard deviation over photos of the distance of each pixel from each corner.

    batches: float [b, 3, h, w] in [0, 1], at least one photo in all. The distance is the mean over channels of
    |corner - x|, which is linear in x: the first two moments of the pixels suffice.
    """
    count, first, second = 0, torch.zeros(()), torch.zeros(())
    for batch in batches:
        pixels = batch.double()
        count += len(pixels)
        first = first.to(pixels.device) + pixels.sum(0)
        second = second.to(pixels.device) + torch.einsum("nchw,ndhw->cdhw", pixels, pixels)
    mean = first / count
    covariance = second / count - mean[:, None] * mean[None]
    corners = CORNERS.to(mean.device)
    slopes = (1 - 2 * corners) / 3
    distance = corners.mean(1)[:, None, None] + torch.einsum("kc,chw->khw", slopes, mean)
    variance = torch.einsum("kc,kd,cdhw->khw", slopes, slopes, covariance)
    return distance / (variance.clamp_min(0).sqrt() + FLOOR)


def choose(classes: int, of_class: Callable[[int], Iterable[Tensor]], present: Array) -> list[Target | None]:
    """The best target of each class, None for classes without photos.

    of_class(number) -> batches of its photos; present: bool [classes]. A pixel and colour that an earlier class has
    taken is not given again: two classes with the same target would share a shortcut.
    """
    taken: set[int] = set()
    targets: list[Target | None] = []
    for number in range(classes):
        if not present[number]:
            targets.append(None)
            continue
        score = scores(of_class(number)).cpu().numpy()
        order = np.argsort(-score.ravel(), kind="stable")[: len(taken) + 1]
        best = next(place for place in order.tolist() if place not in taken)
        taken.add(best)
        corner, row, column = np.unravel_index(best, score.shape)
        red, green, blue = CORNERS[int(corner)].tolist()
        targets.append(Target(int(row), int(column), (red, green, blue)))
    return targets


def as_patterns(targets: list[Target | None], size: int) -> tuple[Array, Array]:
    """(mask, colour), float32 [classes, 1, size, size] and [classes, 3, 1, 1]: 1 at the pixel, and its new colour."""
    mask = np.zeros((len(targets), 1, size, size), dtype=np.float32)
    colour = np.zeros((len(targets), 3, 1, 1), dtype=np.float32)
    for number, target in enumerate(targets):
        if target is not None:
            mask[number, 0, target.row, target.column] = 1
            colour[number, :, 0, 0] = target.colour
    return mask, colour
