"""Ranks, exact success curves and ROC: pure arrays.

The score of a photo i and a genome j is whatever an attacker gives; here only its order counts. For photo i let
g_i be the number of other genomes with a higher score and t_i the number of other genomes with the same score
(within TIE). Both come from one pass over blocks of genomes, so scores are never held whole; photos with equal
evidence and genomes with equal probabilities are grouped by the caller (`Scores.row`, `Scores.weight`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from linkbench.metrics.hypergeometric import harmonic, hypergeometric_pmf

Array = npt.NDArray[Any]

TIE = 1e-9
"""Scores closer than this are the same score."""

BLOCK = 1 << 20
"""Scores computed at a time, over all rows of a block."""


class UnsteadyScoresError(ValueError):
    """The same photo and genome had two scores, so there is no rank: the attacker answers by something else."""


class Scores(NamedTuple):
    """Scores of R different rows of evidence against C different genomes, computed when asked for.

    block(start, stop) -> float64 [R, stop-start], columns of the score table, always the same for the same column;
    row: int64 [N] the row of each photo; column: int64 [N] the column of its true genome;
    weight: float64 [C], how many genomes share a column, or None for one each; rows, columns: R and C.
    """

    block: Callable[[int, int], Array]
    row: Array
    column: Array
    rows: int
    columns: int
    weight: Array | None = None

    @property
    def population(self) -> int:
        """M, the number of genomes."""
        return self.columns if self.weight is None else int(self.weight.sum())

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        step = max(1, min(self.columns, BLOCK // max(self.rows, 1)))
        for start in range(0, self.columns, step):
            stop = min(start + step, self.columns)
            yield slice(start, stop), self.block(start, stop)

    def confirmed(self, truth: Array) -> Iterator[tuple[slice, Array]]:
        """The blocks, whose true pairs must score as in float64 [N] `truth`; raises UnsteadyScoresError otherwise."""
        order = np.argsort(self.column, kind="stable")
        columns = self.column[order]
        for span, table in self.blocks():
            photos = order[slice(*np.searchsorted(columns, [span.start, span.stop]))]
            found = table[self.row[photos], self.column[photos] - span.start]
            wrong = np.flatnonzero(np.abs(found - truth[photos]) > TIE)
            if len(wrong):
                raise UnsteadyScoresError(
                    f"scored one photo and genome {truth[photos[wrong[0]]]:.6g} and, asked again, {found[wrong[0]]:.6g}"
                )
            yield span, table

    def of_truth(self) -> Array:
        """float64 [N], the score of each photo with its true genome."""
        out = np.empty(len(self.row))
        order = np.argsort(self.column, kind="stable")
        columns = self.column[order]
        step = max(1, BLOCK // max(self.rows, 1))
        for start in np.unique(columns // step) * step:
            lo, hi = np.searchsorted(columns, [start, start + step])
            photos = order[lo:hi]
            table = self.block(int(start), int(min(start + step, self.columns)))
            out[photos] = table[self.row[photos], self.column[photos] - start]
        return out

    @classmethod
    def dense(cls, scores: Array, truth: Array) -> Scores:
        """A table float64 [N, M] that is small enough to hold, with the true column int64 [N] of each row."""
        scores = np.asarray(scores, dtype=np.float64)
        return cls(lambda a, b: scores[:, a:b], np.arange(len(scores)), np.asarray(truth), *scores.shape)


class Ranks(NamedTuple):
    """int64 [N] each: other genomes with a better score than the true one, and others tied with it."""

    better: Array
    tied: Array

    @property
    def expected(self) -> Array:
        """Expected rank of the true genome, 1 is best, ties broken at random."""
        expected: Array = 1.0 + self.better + self.tied / 2.0
        return expected


class _Cells:
    """Counts of values between sorted edges; exact, with a table look-up instead of a search for nearly all values.

    The range of the edges is cut into equal bins. A value in a bin without an edge lies in one known cell; only
    values that share a bin with an edge are searched for. Values are placed and edges are placed by the same
    monotone arithmetic, so no rounding can move a value across an edge of another bin.
    """

    def __init__(self, edges: Array) -> None:
        self.edges = edges
        self.bins = int(min(max(1 << 12, 64 * len(edges)), 1 << 22))
        low, high = edges[0], edges[-1]
        self.low = low
        self.scale = (self.bins - 3) / (high - low) if high > low else 0.0
        of_edges = self._bin(edges)
        self.cell = np.searchsorted(of_edges, np.arange(self.bins), side="left")
        self.cell[of_edges] = -1

    def _bin(self, values: Array) -> Array:
        # one bin below and one above the edges: everything outside them is in a cell of its own
        place = (values - self.low) * self.scale
        np.clip(place, -1.0, self.bins - 3.0 + 0.5, out=place)
        place += 1.0
        bins: Array = place.astype(np.intp)  # what indexing and bincount would convert to
        return bins

    def __call__(self, values: Array, weight: Array | None) -> Array:
        """float64 [len(edges) + 1], summed weights of the values v with edges[c-1] <= v < edges[c]."""
        cells = self.cell[self._bin(values)]
        near = np.flatnonzero(cells < 0)
        cells[near] = np.searchsorted(self.edges, values[near], side="right")
        return np.bincount(cells, weights=weight, minlength=len(self.edges) + 1).astype(np.float64)


def _edges(thresholds: Array) -> tuple[Array, Array, Array]:
    """Sorted edges around each threshold, and where the lower and the upper edge of each threshold stand."""
    lower = thresholds - TIE
    upper = np.nextafter(thresholds + TIE, np.inf)
    edges = np.unique(np.concatenate([lower, upper]))
    return edges, np.searchsorted(edges, lower), np.searchsorted(edges, upper)


def count_ranks(scores: Scores) -> Ranks:
    """How many other genomes score better than, or the same as, the true genome of each photo.

    Time is that of computing the scores and one look-up each; memory is a block of scores and the photos. Raises
    UnsteadyScoresError where the scores are not the same when they are asked for again.
    """
    truth = scores.of_truth()
    if len(np.unique(scores.row)) == len(truth):  # every photo has a row of its own: compare directly
        return _count_single(scores, truth)
    photos = [np.flatnonzero(scores.row == row) for row in range(scores.rows)]
    placed = [_edges(truth[index]) if len(index) else None for index in photos]
    cells = [None if place is None else _Cells(place[0]) for place in placed]
    counts = [None if place is None else np.zeros(len(place[0]) + 1) for place in placed]
    for span, block in scores.confirmed(truth):
        weight = None if scores.weight is None else scores.weight[span]
        for row, cell in enumerate(cells):
            if cell is not None:
                counts[row] += cell(block[row], weight)
    better = np.zeros(len(truth), dtype=np.int64)
    tied = np.zeros(len(truth), dtype=np.int64)
    for index, place, count in zip(photos, placed, counts, strict=True):
        if place is not None and count is not None:
            _, lower, upper = place
            at_least = count[::-1].cumsum()[::-1]  # values >= edges[c-1]
            better[index] = np.rint(at_least[upper + 1])
            tied[index] = np.rint(at_least[lower + 1] - at_least[upper + 1]) - 1  # without the true genome itself
    return Ranks(better, tied)


def _count_single(scores: Scores, truth: Array) -> Ranks:
    threshold = np.empty(scores.rows)
    threshold[scores.row] = truth
    low, high = (threshold - TIE)[:, None], (threshold + TIE)[:, None]
    above = np.zeros(scores.rows)
    at_least = np.zeros(scores.rows)
    for span, block in scores.confirmed(truth):
        if scores.weight is None:
            above += np.count_nonzero(block > high, axis=1)
            at_least += np.count_nonzero(block >= low, axis=1)
        else:
            above += (block > high) @ scores.weight[span]
            at_least += (block >= low) @ scores.weight[span]
    better, both = np.rint(above[scores.row]), np.rint(at_least[scores.row])
    return Ranks(better.astype(np.int64), (both - better - 1).astype(np.int64))


def expected_success(ranks: Ranks, population: int, k: int, sizes: npt.ArrayLike) -> Array:
    """Exact success@k of each photo in a uniformly random population that holds its true genome.

    ranks: N photos; population: M; sizes: int [S], 1 <= n <= M. Returns float64 [S, N]. See `success_curves`.
    """
    curve: Array = success_curves(ranks, population, [k], sizes)[0]
    return curve


def success_curves(ranks: Ranks, population: int, ks: Sequence[int], sizes: npt.ArrayLike) -> Array:
    """`expected_success` for several k at once, float64 [K, S, N]; ties are broken at random, in expectation.

    The mean over the tied places u = 0..t of HypergeomCDF(k-1; M-1, g+u, n-1) has a closed form. With X_r the
    number of r marked genomes among n drawn from M, summing the distribution of order statistics over r gives
    success@k(n) = M / (n (t+1)) * (E[max(k - X_g, 0)] - E[max(k - X_(g+t+1), 0)]), so no sum over ties is needed.
    """
    drawn = np.asarray(sizes, dtype=np.int64)
    if drawn.size and (drawn.min() < 1 or drawn.max() > population):
        raise ValueError(f"population sizes must lie in 1..{population}, got {drawn.min()}..{drawn.max()}")
    ends, place = np.unique(np.concatenate([ranks.better, ranks.better + ranks.tied + 1]), return_inverse=True)
    first, last = place.reshape(2, -1)
    spread = population / (ranks.tied + 1.0)
    out = np.empty((len(ks), len(drawn), len(ranks.better)))
    step = max(1, (1 << 15) // len(ends))  # blocks that stay in the processor's cache
    for start in range(0, len(drawn), step):
        size = drawn[start : start + step, None]
        for index, shortfall in enumerate(_expected_shortfalls(ks, population, ends[None, :], size)):
            value = (shortfall[:, first] - shortfall[:, last]) * (spread / size)
            out[index, start : start + step] = np.clip(value, 0.0, 1.0)
    return out


def _expected_shortfalls(ks: Sequence[int], population: int, marked: Array, drawn: Array) -> list[Array]:
    """E[max(k - X, 0)] for each k, X hypergeometric: `drawn` of `population`, of which `marked` count."""
    # P(X = x+1) / P(X = x) is rational, so only the first possible x needs logarithms
    x = np.maximum(0, drawn - (population - marked))
    probability = hypergeometric_pmf(0, population, marked, drawn)
    crowded = np.nonzero((x > 0) & (x < max(ks)))  # few: the drawn cannot avoid the marked
    if len(crowded[0]):
        hits, size = (np.broadcast_to(value, x.shape)[crowded] for value in (marked, drawn))
        probability[crowded] = hypergeometric_pmf(x[crowded], population, hits, size)
    totals = [np.maximum(k - x, 0) * probability for k in ks]
    for _ in range(max(ks) - 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (marked - x) * (drawn - x) / ((x + 1.0) * (population - marked - drawn + x + 1.0))
        probability = np.where((x < marked) & (x < drawn), probability * ratio, 0.0)
        x = x + 1
        for total, k in zip(totals, ks, strict=True):
            total += np.maximum(k - x, 0) * probability
    return totals


def reciprocal_rank(ranks: Ranks) -> Array:
    """float64 [N], expected 1/rank of the true genome among all, ties broken at random."""
    return (harmonic(ranks.better + ranks.tied + 1) - harmonic(ranks.better)) / (ranks.tied + 1.0)


class Roc(NamedTuple):
    """A ROC curve and the area under it.

    false, true: float64 [T], rates; auc: area, ties counted half; parts: float64 [N], one term per photo whose mean
    is the area (DeLong's decomposition), to bootstrap it over identities.
    """

    false: Array
    true: Array
    auc: float
    parts: Array


def roc_by_k(ranks: Ranks, population: int) -> Roc:
    """Claims are the k best genomes of each photo, k = 1..M; ties broken at random, in expectation."""
    n, others = len(ranks.better), population - 1
    # success@k of a photo rises linearly from k = better to k = better + tied + 1
    ends, weights = np.concatenate([ranks.better, ranks.better + ranks.tied + 1]), 1.0 / (ranks.tied + 1.0)
    slope = np.zeros(population + 2)
    np.add.at(slope, ends, np.concatenate([weights, -weights]))
    true = np.concatenate([[0.0], np.cumsum(np.cumsum(slope))[:population]]) / n
    claims = np.arange(population + 1)
    false = (claims - true) / max(others, 1)
    parts = 1.0 - (ranks.better + ranks.tied / 2.0) / max(others, 1)
    return Roc(false, true, float(parts.mean()), parts)


class Tally(NamedTuple):
    """How many genomes score what, between thresholds at the true scores of all photos.

    truth: float64 [N]; row: int64 [N], the row of each photo; thresholds: float64 [T], ascending; edges, lower, upper:
    around each threshold, see `_edges`; per_row: float64 [R, len(edges) + 1], genomes by row between neighbouring
    edges, true ones too; population: M.
    """

    truth: Array
    row: Array
    thresholds: Array
    edges: Array
    lower: Array
    upper: Array
    per_row: Array
    population: int

    def others(self, threshold: int) -> Array:
        """int64 [N], genomes but the true one that score at least this threshold (its number) with each photo."""
        reached = self.per_row[:, self.lower[threshold] + 1 :].sum(axis=1)
        own = self.truth >= self.thresholds[threshold] - TIE
        counts: Array = np.rint(reached[self.row]).astype(np.int64) - own
        return counts


def tally(scores: Scores) -> Tally:
    """Count all scores, once. Raises UnsteadyScoresError where they are not the same when they are asked for again."""
    truth = scores.of_truth()
    thresholds = np.unique(truth)
    edges, lower, upper = _edges(thresholds)
    cell = _Cells(edges)
    per_row = np.zeros((scores.rows, len(edges) + 1))
    for span, block in scores.confirmed(truth):
        weight = None if scores.weight is None else scores.weight[span]
        for row in np.unique(scores.row):
            per_row[row] += cell(block[row], weight)
    return Tally(truth, scores.row, thresholds, edges, lower, upper, per_row, scores.population)


def roc_by_score(scores: Scores) -> Roc:
    """Claims are all pairs above a threshold on the score, one threshold for all photos; ties counted half."""
    return roc_of(tally(scores))


def roc_of(counted: Tally) -> Roc:
    """`roc_by_score` of scores that were counted already."""
    truth, row, thresholds, edges, lower, upper, per_row, population = counted
    photos = np.bincount(row, minlength=len(per_row)).astype(np.float64)
    n, others = len(truth), population - 1
    # the true pairs are in the counts too: take them out again, photo by photo
    own = np.searchsorted(edges, truth, side="right")
    positives = np.bincount(own, minlength=len(edges) + 1).astype(np.float64)
    negatives = photos @ per_row - positives
    above = negatives[::-1].cumsum()[::-1]
    place = np.searchsorted(thresholds, truth)
    high, both = above[upper + 1], above[lower + 1]
    beaten = 1.0 - (high + (both - high) / 2.0) / max(n * others, 1)
    won_by_truth = beaten[place]
    # the same from the other side: how often the negatives of one photo lie below the true scores of all
    hits = positives[::-1].cumsum()[::-1]
    hits_above = np.append(hits[1:], 0.0) + positives / 2.0
    per_row_mean = per_row @ hits_above / n
    lost_by_others = (per_row_mean[row] - hits_above[own] / n) / max(others, 1)
    auc = float(won_by_truth.mean())
    order = np.argsort(-thresholds)
    false = np.concatenate([[0.0], both[order] / max(n * others, 1), [1.0]])
    claimed = np.bincount(place, minlength=len(thresholds))[order].cumsum() / n
    return Roc(false, np.concatenate([[0.0], claimed, [1.0]]), auc, won_by_truth + lost_by_others - auc)
