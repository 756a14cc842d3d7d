"""Whether two means over the same people differ: a paired test, Holm's correction, and how many people it takes.

The test is Gaffke's for the mean of a bounded quantity. Everybody gets a random weight (independent exponentials), and
one person more is added who speaks against the finding as loudly as anybody can: to show that a mean of differences
lies above zero, one of value -1. The p-value is the probability that the weighted mean falls on the other side of zero.
Where values are -1, 0 and 1 it is the exact sign test (McNemar's); nothing is assumed about their distribution.
Gaffke 2005, Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable;
Learned-Miller & Thomas 2019, A new confidence interval for the mean of a bounded random variable.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

POWER = 0.8
"""How often people as many as `people_needed` tell the two apart."""

BLOCK = 1 << 20
"""Differences that are tested at a time, people times pairs."""

MOST_PEOPLE = 10**9
"""More people than this are not counted."""


def by_person(values: Array, identity: Array, weights: Array | None = None) -> Array:
    """What each person adds to a mean over photos: float64 [people, S], whose plain mean is the weighted mean.

    values: float64 [N, S], a column for each statistic; identity: int [N], who is in each photo; weights: float64
    [N, S], or None for equal ones. People stand in the order of their identities.
    """
    _, who = np.unique(identity, return_inverse=True)
    weights = np.ones(values.shape) if weights is None else weights
    people = int(who.max()) + 1
    out = np.zeros((people, values.shape[1]))
    np.add.at(out, who, values * weights)
    scaled: Array = out * (people / np.maximum(weights.sum(axis=0), 1e-12))
    return scaled


def p_values(differences: Array, ends: tuple[float, float] = (-1.0, 1.0)) -> Array:
    """Two-sided p-values, float64 [S], of the hypothesis that the mean of each column is zero.

    differences: float64 [people, S]; ends: the range that no person can leave where all have equally many photos, one
    end below zero and one above. Twice the smaller one-sided value; 1 where the finding does not outweigh the person
    who is added against it.
    """
    people, columns = differences.shape
    out = np.empty(columns)
    step = max(1, BLOCK // max(people, 1))
    for start in range(0, columns, step):
        block = differences[:, start : start + step]
        total = block.sum(axis=0)
        loudest = np.where(total > 0.0, -ends[0], ends[1])
        found = np.abs(total) > loudest
        out[start : start + step] = 1.0
        if found.any():
            toward = block[:, found] * np.sign(total[found])
            against = np.concatenate([toward, -loudest[None, found]])
            out[start : start + step][found] = np.minimum(1.0, 2.0 * _below_zero(against))
    return out


def sign_test(for_it: int, against: int) -> float:
    """P(so many, or more, of all signs are for it), each as likely as not: one-sided and exact; 1 without any."""
    signs = for_it + against
    return math.ldexp(sum(math.comb(signs, count) for count in range(for_it, signs + 1)), -signs)


def _below_zero(values: Array) -> Array:
    """P(sum_i E_i v_i <= 0), E_i independent exponentials, for columns v whose sum is positive and minimum negative.

    The tail of the sum in saddle-point form: K(s) = -sum log(1 - s v_i), K'(s) = 0, and with w = -sqrt(-2 K(s)) and
    u = s sqrt(K''(s)) the tail is Phi(w + log(u/w)/w) (Barndorff-Nielsen 1986). It is up to 4 % too
    large where it is above 1e-4, 8 % at 1e-300.
    """
    low, high = 1.0 / values.min(axis=0), np.zeros(values.shape[1])
    for _ in range(60):
        middle = (low + high) / 2.0
        rising = (values / (1.0 - middle * values)).sum(axis=0) > 0.0  # K' rises with s
        high, low = np.where(rising, middle, high), np.where(rising, low, middle)
    s = (low + high) / 2.0
    pulled = 1.0 - s * values
    w = -np.sqrt(np.maximum(2.0 * np.log(pulled).sum(axis=0), 1e-18))
    u = s * np.sqrt(((values / pulled) ** 2).sum(axis=0))
    z = w + np.log(u / w) / w
    return np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in z])


def holm(p: Array) -> Array:
    """p-values adjusted for their number by Holm's step-down procedure (Holm 1979), in the same order.

    Whatever their dependence, the probability that any true hypothesis gets an adjusted value below a is at most a.
    """
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.maximum.accumulate(steps)
    return out


class Pairs(NamedTuple):
    """All pairs of R contestants, float64 [R, R] each.

    difference: mean of the first less mean of the second; p: of each pair alone; deviation: standard deviation of the
    people's differences; people: how many there are.
    """

    difference: Array
    p: Array
    deviation: Array
    people: int

    def adjusted(self, family: Array) -> Array:
        """p-values adjusted by Holm over the pairs of a family, bool [R, R] (either half or both); 1 elsewhere."""
        first, second = np.nonzero(np.triu(family | family.T, 1))
        out = np.ones_like(self.p)
        out[first, second] = out[second, first] = holm(self.p[first, second])
        return out


def all_pairs(values: Array) -> Pairs:
    """Every pair of columns of float64 [people, R], as `by_person` gives them."""
    people, contestants = values.shape
    first, second = np.triu_indices(contestants, 1)
    p = np.empty(len(first))
    deviation = np.empty(len(first))
    step = max(1, BLOCK // max(people, 1))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        differences = values[:, first[part]] - values[:, second[part]]
        p[part] = p_values(differences)
        deviation[part] = differences.std(axis=0, ddof=min(1, people - 1))
    means = values.mean(axis=0)
    tables = []
    for diagonal, entries in ((1.0, p), (0.0, deviation)):
        table = np.full((contestants, contestants), diagonal)
        table[first, second] = table[second, first] = entries
        tables.append(table)
    return Pairs(means[:, None] - means[None, :], tables[0], tables[1], people)


def people_needed(
    difference: float, deviation: float, error: float, power: float = POWER, loudest: float = 1.0
) -> int | None:
    """How many people tell a difference of means from zero with this power, if it is what was measured.

    deviation: standard deviation of the people's differences; error: of the two-sided test. Normal approximation of
    the test, with the person of value -a who is added against the finding, a = loudest:
    n d - a = z_error sqrt(n s^2 + a^2) + z_power sqrt(n) s. None where the difference is zero or would take more than a
    thousand million people.
    """
    normal = NormalDist()
    z_error, z_power = normal.inv_cdf(1.0 - error / 2.0), normal.inv_cdf(power)

    def told(people: int) -> bool:
        sure = z_error * math.sqrt(people * deviation**2 + loudest**2) + z_power * math.sqrt(people) * deviation
        return people * abs(difference) - loudest >= sure

    if not told(MOST_PEOPLE):
        return None
    low, high = 0, MOST_PEOPLE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if told(middle) else (middle, high)
    return high


def smallest_difference(people: int, deviation: float, error: float, power: float = POWER) -> float:
    """The difference of means that so many people tell from zero with this power; see `people_needed`."""
    normal = NormalDist()
    z_error, z_power = normal.inv_cdf(1.0 - error / 2.0), normal.inv_cdf(power)
    sure = z_error * math.sqrt(people * deviation**2 + 1.0) + z_power * math.sqrt(people) * deviation
    return (sure + 1.0) / people
