"""Intervals of means over photos of people: people are the unit, and 0 and 100 % are no exceptions.

Every resample gives each person a random weight (independent exponentials, the Bayesian bootstrap of Rubin 1981). Where
a value cannot leave a range, half a person is added at either end of it: nobody was seen there, which does not mean
that nobody is there. Where values are 0 and 1 this is the interval of Jeffreys for a proportion (Brown, Cai & DasGupta
2001), so that 102 of 102 is 97.6 to 100 %. Coverage is measured by benchmarks/coverage.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SHARE = (0.0, 1.0)
"""The ends of a share, of a probability and of an area under a ROC curve."""

DIFFERENCE = (-1.0, 1.0)
"""The ends of a difference between two shares."""

BLOCK = 1 << 22
"""Weights that are drawn and kept at a time, resamples times people."""


@functools.lru_cache(maxsize=4)
def drawn(people: int, seed: int, start: int, stop: int) -> tuple[Array, Array]:
    """Random weights of resamples start..stop: of the people, float64 [stop - start, people], mean 1, and of the half
    people at the two ends, float64 [stop - start, 2], mean 1/2. All cells of the same people share them."""
    # the upper half of the counter: blocks never meet, however many numbers one takes
    random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, start, 0]))
    return random.standard_exponential((stop - start, people)), random.standard_gamma(0.5, (stop - start, 2))


def resampled_means(
    values: Array,
    identity: Array,
    *,
    resamples: int = 1000,
    seed: int = 0,
    weights: Array | None = None,
    ends: tuple[float, float] | None = None,
) -> Array:
    """The mean of each column in every resample of the people, float64 [resamples, S].

    values: float64 [N, S]; identity: int [N]; weights: float64 [N, S] or None for equal ones; ends: the range that no
    value can leave, or None. The resamples depend on the people and the seed alone: columns stay paired across calls.
    """
    _, who = np.unique(identity, return_inverse=True)
    people = int(who.max()) + 1
    weights = np.ones((len(values), 1)) if weights is None else weights
    sums, total = np.zeros((people, values.shape[1])), np.zeros((people, weights.shape[1]))
    np.add.at(sums, who, values * weights)
    np.add.at(total, who, weights)
    photos = total.sum(axis=0) / np.maximum(
        np.count_nonzero(total, axis=0), 1
    )  # of a person who is added: an average one
    means = np.empty((resamples, values.shape[1]))
    step = max(1, BLOCK // people)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        weight, halves = drawn(people, seed, start, stop)
        above, below = weight @ sums, weight @ total
        if ends is not None:
            above = above + (halves @ np.asarray(ends))[:, None] * photos
            below = below + halves.sum(axis=1, keepdims=True) * photos
        means[start:stop] = above / np.maximum(below, 1e-12)
    return means


def interval(
    values: Array,
    identity: Array,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    weights: Array | None = None,
    ends: tuple[float, float] | None = None,
    combine: Callable[[Array], Array] = lambda means: means,
) -> Array:
    """The interval of each column's mean, or of what `combine` makes of the means [R, S]: float64 [2, T], low and high.

    Arguments as of `resampled_means`. The interval holds the mean itself, also where everybody lies at one end.
    """
    means = resampled_means(values, identity, resamples=resamples, seed=seed, weights=weights, ends=ends)
    tail = (1.0 - level) / 2.0
    found: Array = np.quantile(combine(means), [tail, 1.0 - tail], axis=0)
    shares = np.ones((len(values), 1)) if weights is None else weights
    mean = combine(((values * shares).sum(axis=0) / np.maximum(shares.sum(axis=0), 1e-12))[None, :])[0]
    return np.stack([np.minimum(found[0], mean), np.maximum(found[1], mean)])
