"""Identification with an open set: a claim is made only above a threshold, and the right genome may be missing.

The terms are those of ISO/IEC 19795-1. A photo is searched in a pile of n genomes, drawn uniformly from M. Not mated:
the true genome is not among them; FPIR is how often some genome scores at least the threshold all the same. Mated: it
is; FNIR is how often it is not among the k best or scores less. With c other genomes of M - 1 that reach the threshold
with a photo, none of n drawn ones does with the hypergeometric probability P(X = 0; M - 1, c, n): nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from linkbench.metrics.hypergeometric import Array, hypergeometric_pmf
from linkbench.metrics.ranking import TIE, Tally

ROUNDING = 1e-12
"""A rate that is reached exactly is not missed because of the last bits."""


class Thresholds(NamedTuple):
    """One threshold for all photos at every pile size and false positive rate.

    threshold: float64 [S, F], infinite where no threshold keeps the rate, so that nothing is claimed; others: int64
    [S, F, N], how many genomes but the true one reach it with each photo.
    """

    threshold: Array
    others: Array


def false_claims(others: Array, population: int, drawn: npt.ArrayLike) -> Array:
    """The probability that some of the drawn genomes reaches the threshold, none of them the true one."""
    out: Array = 1.0 - hypergeometric_pmf(0, population - 1, others, drawn)
    return out


def thresholds(counted: Tally, sizes: Sequence[int], rates: Sequence[float]) -> Thresholds:
    """The lowest thresholds, of those at a true score, at which FPIR is no higher than the rates.

    sizes: pile sizes, below the population. Only at true scores does FNIR change, so no other threshold is better.
    """
    count = len(counted.thresholds)
    nobody = np.zeros(len(counted.truth), np.int64)
    reached: dict[int, Array] = {count: nobody}

    def others(numbers: Array) -> Array:
        for at in set(numbers.tolist()) - reached.keys():
            reached[at] = counted.others(at)
        return np.stack([reached[at] for at in numbers.tolist()])

    drawn, wanted = np.repeat(sizes, len(rates)), np.tile(rates, len(sizes))
    low, high = np.zeros(len(drawn), np.int64), np.full(len(drawn), count)
    while (open_ := low < high).any():  # the rate falls as the threshold rises: halve the thresholds in question
        middle = (low + high) // 2
        kept = false_claims(others(middle), counted.population, drawn[:, None]).mean(axis=1) <= wanted + ROUNDING
        high = np.where(open_ & kept, middle, high)
        low = np.where(open_ & ~kept, middle + 1, low)
    shape = (len(sizes), len(rates))
    found = np.append(counted.thresholds, np.inf)[low]
    return Thresholds(found.reshape(shape), others(low).reshape(*shape, -1))


def claims(score: Array, threshold: Array, others: Array, population: int, size: Array, success: Array) -> Array:
    """What is claimed for each photo, float64 [.., N, 3]: the right genome and a genome at all in a pile of `size` that
    holds it, and one in a pile without it.

    score: float64 [N], of the true genomes; threshold, size: [.., 1]; others: int64 [.., N], as in `Thresholds`;
    success: float64 [.., N], expected success@k: that the true genome is among the k best.
    """
    sure = score >= threshold - TIE
    someone = np.where(sure, 1.0, false_claims(others, population, size - 1))
    told = np.broadcast_arrays(np.where(sure, success, 0.0), someone, false_claims(others, population, size))
    return np.stack(told, axis=-1)


def precision(means: Array, prior: float) -> Array:
    """float64 [..], the share of claims that name the right genome, which is in the pile with this probability.

    means: float64 [.., 3] of `claims` at k = 1; 1 where nothing is claimed, for then no claim is wrong.
    """
    right, someone, nobody = np.moveaxis(means, -1, 0)
    made = prior * someone + (1.0 - prior) * nobody
    out: Array = np.where(made > 0, prior * right / np.maximum(made, 1e-300), 1.0)
    return out
