"""What an entry keeps of every photo, and the numbers that follow from it.

Of each seed s, whole numbers: s.people [n], who is in the photo; s.better and s.tied [cells, n], ranks as in
linkbench.metrics.ranking; s.hits and s.draws [joint cells, n], for attackers that match all photos of a population at
once: in how many drawn populations a photo was, and in how many of them it was linked, in units of 1/HIT; s.ssim and
s.moved [changes, n], likeness and largest change by the defender, in units of 1/FINE; s.poison.people [t],
s.poison.ssim and s.poison.moved [changes, t], the same by poisons of the photos that were trained on; s.gallery.*
[changes, t], by defenders of those in a gallery.
Cells and changes stand in the order of the entry; a photo's numbers are those of its own column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.leaderboard.entry import DIGITS, Interval
from linkbench.leaderboard.protocol import Metrics
from linkbench.metrics import ranking
from linkbench.metrics.intervals import SHARE, interval

HIT = 2520
"""A photo that ties with up to nine genomes is linked a whole number of times in these units."""

PARTS = ("linked", "poison", "gallery")
"""Which photos were changed, see `linkbench.leaderboard.entry.ChangeRecord`."""

FINE = 65_535
"""Steps of a measured change."""


class CellPhotos(NamedTuple):
    """One cell, photo by photo, int64 [n] each; hits and draws are None where ranks tell everything."""

    people: Array
    better: Array
    tied: Array
    hits: Array | None = None
    draws: Array | None = None

    @property
    def weights(self) -> Array | None:
        """float64 [n], 0 where no drawn population held the photo; None for equal ones."""
        return None if self.draws is None else (self.draws > 0).astype(np.float64)

    def success(self, metrics: Metrics, population: int) -> Array:
        """float64 [n], each photo's expected success@k in a population of n."""
        if self.hits is not None and self.draws is not None:
            hit: Array = self.hits / (HIT * np.maximum(self.draws, 1.0))
            return hit
        ranks = ranking.Ranks(self.better, self.tied)
        one: Array = ranking.success_curves(ranks, population, [metrics.k], [metrics.n])[0, 0]
        return one

    def auc(self, population: int) -> Array:
        """float64 [n], each photo's part of the area under the ROC curve by rank."""
        parts: Array = 1.0 - (self.better + self.tied / 2.0) / max(population - 1, 1)
        return parts


class ChangePhotos(NamedTuple):
    """What was changed, photo by photo, int64 [n] each in units of 1/FINE."""

    people: Array
    ssim: Array
    moved: Array


def intervals(
    columns: list[Array],
    people: Array,
    metrics: Metrics,
    seed: int,
    weights: list[Array | None] | None = None,
    ends: tuple[float, float] | None = SHARE,
) -> list[Interval]:
    """The mean of each column float64 [n] with its interval, rounded as entries are.

    The resamples are those of the results table. weights: for each column float64 [n], or None for equal ones; ends:
    as of `linkbench.metrics.intervals`.
    """
    values = np.stack(columns, axis=1)
    equal = np.ones(len(people))
    weight = np.stack([equal if one is None else one for one in weights or [None] * len(columns)], axis=1)
    key = seeds.derive(seed, "bootstrap")
    found = interval(
        values, people, resamples=metrics.resamples, level=metrics.level, seed=key, weights=weight, ends=ends
    )
    means = (values * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1.0)
    table = np.round(np.vstack([means, found]), DIGITS)
    return [(float(mean), float(low), float(high)) for mean, low, high in table.T]


def numbers_of(
    cells: list[CellPhotos], metrics: Metrics, population: int, seed: int
) -> list[tuple[Interval, Interval]]:
    """Success and area under the ROC curve of the cells of one seed."""
    columns = [cell.success(metrics, population) for cell in cells] + [cell.auc(population) for cell in cells]
    weights = [cell.weights for cell in cells] + [None for _ in cells]
    found = intervals(columns, cells[0].people, metrics, seed, weights)
    return list(zip(found[: len(cells)], found[len(cells) :], strict=True))


def likeness_of(changes: list[ChangePhotos], metrics: Metrics, seed: int) -> list[Interval]:
    """SSIM of the changes of one seed."""
    columns = [change.ssim / FINE for change in changes]
    return intervals(columns, changes[0].people, metrics, seed, ends=None) if changes else []


def fine(values: Array) -> Array:
    """Values in [0, 1] in units of 1/FINE, int64; what lies outside is moved to the ends."""
    whole: Array = np.rint(np.clip(values, 0.0, 1.0) * FINE).astype(np.int64)
    return whole


def arrays(
    cells: Mapping[int, list[CellPhotos]], changes: Mapping[tuple[int, str], list[ChangePhotos]]
) -> dict[str, Array]:
    """All photos of an entry as arrays for its blob. Cells by seed; changes by seed and part."""
    out: dict[str, Array] = {}
    for seed, group in cells.items():
        out[f"{seed}.people"] = group[0].people
        out[f"{seed}.better"] = np.stack([cell.better for cell in group])
        out[f"{seed}.tied"] = np.stack([cell.tied for cell in group])
        joint = [(cell.hits, cell.draws) for cell in group if cell.hits is not None and cell.draws is not None]
        if joint:
            out[f"{seed}.hits"] = np.stack([hits for hits, _ in joint])
            out[f"{seed}.draws"] = np.stack([draws for _, draws in joint])
            out[f"{seed}.joint"] = np.array([cell.hits is not None for cell in group]).astype(np.int64)
        for part in PARTS:
            measured, place = changes.get((seed, part), []), _place(seed, part)
            if measured:
                out[f"{place}.people"] = measured[0].people
                out[f"{place}.ssim"] = np.stack([change.ssim for change in measured])
                out[f"{place}.moved"] = np.stack([change.moved for change in measured])
    return out


def cells_of(arrays: Mapping[str, Array], seed: int) -> list[CellPhotos]:
    """The cells of one seed again. Raises ValueError where the arrays do not fit each other."""
    people, better, tied = (_part(arrays, str(seed), name) for name in ("people", "better", "tied"))
    joint = arrays.get(f"{seed}.joint", np.zeros(len(better), np.int64))
    if better.shape != tied.shape or better.shape[1:] != people.shape or joint.shape != better.shape[:1]:
        raise ValueError(f"the arrays of seed {seed} have different shapes")
    out, place = [], 0
    for index in range(len(better)):
        cell = CellPhotos(people, better[index], tied[index])
        if joint[index]:
            hits, draws = (_part(arrays, str(seed), name) for name in ("hits", "draws"))
            if place >= len(hits) or hits.shape != draws.shape or hits.shape[1:] != people.shape:
                raise ValueError(f"the arrays of seed {seed} hold too few joint cells")
            cell = cell._replace(hits=hits[place], draws=draws[place])
            place += 1
        out.append(cell)
    return out


def changes_of(arrays: Mapping[str, Array], seed: int, part: str) -> list[ChangePhotos]:
    """The changes of one seed again. Raises ValueError where the arrays do not fit each other."""
    people, ssim, moved = (_part(arrays, _place(seed, part), name) for name in ("people", "ssim", "moved"))
    if ssim.shape != moved.shape or ssim.shape[1:] != people.shape:
        raise ValueError(f"the changes of seed {seed} have different shapes")
    return [ChangePhotos(people, *parts) for parts in zip(ssim, moved, strict=True)]


def _place(seed: int, part: str) -> str:
    return str(seed) if part == PARTS[0] else f"{seed}.{part}"


def _part(arrays: Mapping[str, Array], place: str, name: str) -> Array:
    try:
        return arrays[f"{place}.{name}"]
    except KeyError:
        raise ValueError(f"the array {place}.{name} is missing") from None
