"""Identification with an open set: a claim is made only above a threshold, and the right genome may be missing.

The terms are those of ISO/IEC 19795-1. A photo is searched in a pile of n genomes, drawn uniformly from M. Not mated:
the true genome is not among them; FPIR is how often some genome scores at least the threshold all the same. Mated: it
is; FNIR is how often it is not among the k best or scores less. With c other genomes of M - 1 that reach the threshold
with a photo, none of n drawn ones does with the hypergeometric probability P(X = 0; M - 1, c, n): nothing is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from linkbench.metrics.hypergeometric import Array, hypergeometric_pmf
from linkbench.metrics.scores import TIE

ROUNDING = 1e-12
"""A rate that is reached exactly is not missed because of the last bits."""


def false_claims(others: Array, population: int, drawn: npt.ArrayLike) -> Array:
    """The probability that some of the drawn genomes reaches the threshold, none of them the true one."""
    out: Array = 1.0 - hypergeometric_pmf(0, population - 1, others, drawn)
    return out


class Search(NamedTuple):
    """The lowest thresholds, of those at a true score, at which FPIR is no higher than the rates, being looked for.

    Only at true scores does FNIR change, so no other threshold is better. thresholds: T, how many there are, named by
    their numbers from the lowest, T being above all scores; drawn, wanted: [Q], pile size and rate of each question;
    low, high: int64 [Q], the numbers between which the answer lies, both included. FPIR falls as the threshold rises,
    so a few evenly spaced numbers are tried at once: the first time T's root of them, the second time all that are
    left. Each time costs a pass over all scores.
    """

    thresholds: int
    drawn: Array
    wanted: Array
    low: Array
    high: Array

    @classmethod
    def begin(cls, thresholds: int, sizes: Sequence[int], rates: Sequence[float]) -> Search:
        """sizes: pile sizes, below the population."""
        drawn, wanted = np.repeat(sizes, len(rates)), np.tile(rates, len(sizes))
        zero = np.zeros(len(drawn), np.int64)
        return cls(thresholds, drawn, wanted, zero, zero + thresholds)

    def numbers(self) -> Array:
        """int64 [Q, G], ascending: the thresholds whose FPIR is asked for next."""
        left = int((self.high - self.low).max())
        step = math.isqrt(self.thresholds) + 1 if left == self.thresholds > 3 else 1
        tried = np.arange(step - 1, max(left, step), step)
        return np.minimum(self.low[:, None] + tried, self.high[:, None])

    def narrowed(self, numbers: Array, fpir: Array) -> Search:
        """What is left once the FPIR [Q, G] of those is known."""
        kept = fpir <= self.wanted[:, None] + ROUNDING
        first = np.where(kept.any(axis=1), kept.argmax(axis=1), kept.shape[1])
        questions = np.arange(len(first))
        high = np.where(first < kept.shape[1], numbers[questions, np.minimum(first, kept.shape[1] - 1)], self.high)
        low = np.where(first > 0, numbers[questions, np.maximum(first, 1) - 1] + 1, self.low)
        return self._replace(low=low, high=high)


def summed_false_claims(others: Callable[[Array], Array], search: Search, population: int) -> Array:
    """float64 [Q, G], the false claims at each number that is searched next, summed over photos.

    others(numbers int64 [K]) -> int64 [K, n], see `Levels.others`.
    """
    numbers = search.numbers()
    asked, place = np.unique(numbers, return_inverse=True)
    reached, place = others(asked), place.reshape(numbers.shape)
    out = np.empty(numbers.shape)
    for size in np.unique(search.drawn):
        rate: Array = _rates(reached, population, int(size)).sum(axis=1)
        mine = np.flatnonzero(search.drawn == size)
        out[mine] = rate[place[mine]]
    return out


def _rates(others: Array, population: int, size: int) -> Array:
    """`false_claims`, computed once for each count where there are fewer counts than photos and thresholds."""
    if population > others.size:
        return false_claims(others, population, size)
    table: Array = false_claims(np.arange(population), population, size)[others]
    return table


def claims(score: Array, threshold: Array, others: Array, population: int, size: Array, success: Array) -> Array:
    """What is claimed for each photo, float64 [.., N, 3]: the right genome and a genome at all in a pile of `size` that
    holds it, and one in a pile without it.

    score: float64 [N], of the true genomes; threshold, size: [.., 1]; others: int64 [.., N], how many genomes but the
    true one reach the threshold with each photo; success: float64 [.., N], expected success@k: that the true genome is
    among the k best.
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
