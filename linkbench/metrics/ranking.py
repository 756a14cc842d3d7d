"""Ranks, and the exact success curves and ROC that follow from them: pure arrays.

For photo i let g_i be the number of other genomes with a higher score than the true one and t_i the number of other
genomes with the same score (within TIE); how they are counted stands in `counting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from linkbench.metrics.hypergeometric import harmonic, hypergeometric_pmf

Array = npt.NDArray[Any]


class Ranks(NamedTuple):
    """int64 [N] each: other genomes with a better score than the true one, and others tied with it."""

    better: Array
    tied: Array

    @property
    def expected(self) -> Array:
        """Expected rank of the true genome, 1 is best, ties broken at random."""
        expected: Array = 1.0 + self.better + self.tied / 2.0
        return expected


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
