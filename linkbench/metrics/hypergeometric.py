"""The hypergeometric distribution and harmonic numbers, accurate for populations of many millions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def hypergeometric_pmf(x: npt.ArrayLike, population: int, marked: npt.ArrayLike, drawn: npt.ArrayLike) -> Array:
    """P(X = x), relative accuracy about 1e-13 also for populations of many millions; arguments broadcast.

    Three binomial terms in saddle-point form (Loader 2000, Fast and accurate computation of binomial
    probabilities); plain differences of log-gamma would lose eight digits at a population of 1e7.
    """
    x, marked, drawn = (np.asarray(value, dtype=np.float64) for value in (x, marked, drawn))
    p = drawn / population
    possible = (x >= 0) & (x <= np.minimum(marked, drawn)) & (drawn - x <= population - marked)
    x = np.where(possible, x, 0.0)
    hits = np.where(possible, marked, 0.0)
    rest = np.where(possible, population - marked, drawn)
    log_p = _log_binomial(x, hits, p) + _log_binomial(drawn - x, rest, p)
    pmf: Array = np.where(possible, np.exp(log_p - _log_binomial(drawn, np.asarray(float(population)), p)), 0.0)
    return pmf


def _log_binomial(x: Array, n: Array, p: Array) -> Array:
    """log P(x successes of n at probability p), 0 <= x <= n, by Loader's saddle-point expansion."""
    if not x.any():
        return n * np.log1p(-np.where(n == 0, 0.0, p))
    misses = n - x
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (
            _stirling_error(n)
            - _stirling_error(x)
            - _stirling_error(misses)
            - _deviance(x, n * p)
            - _deviance(misses, n * (1.0 - p))
            + 0.5 * np.log(n / (2.0 * np.pi * x * misses))
        )
        none, all_ = n * np.log1p(-p), n * np.log(p)
    return np.where(n == 0, 0.0, np.where(x == 0, none, np.where(misses == 0, all_, middle)))


_SMALL = 16
_FACTORIALS = np.cumsum(np.concatenate([[0.0], np.log(np.arange(1.0, _SMALL))]))
_STIRLING = np.concatenate(
    [
        [0.0],
        _FACTORIALS[1:]
        - (np.arange(1.0, _SMALL) + 0.5) * np.log(np.arange(1.0, _SMALL))
        + np.arange(1.0, _SMALL)
        - 0.5 * np.log(2.0 * np.pi),
    ]
)


def _stirling_error(n: Array) -> Array:
    """log n! minus Stirling's formula, for whole n >= 0."""
    n = np.asarray(n, dtype=np.float64)
    large = np.maximum(n, _SMALL)
    square = large * large
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / large
    return np.where(n < _SMALL, _STIRLING[np.minimum(n, _SMALL - 1).astype(np.int64)], series)


def _deviance(x: Array, mean: Array) -> Array:
    """x log(x/mean) + mean - x without cancellation near x = mean."""
    v = (x - mean) / (x + mean)
    square = v * v
    # x log(x/mean) with log(x/mean) = 2 atanh(v): the series converges fast where the direct form cancels
    series = np.zeros_like(v)
    for order in range(8, 0, -1):
        series = (series + 1.0 / (2 * order + 1)) * square
    near = (x - mean) * v + 2.0 * x * v * series
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(x > 0, x * np.log(x / mean), 0.0) + mean - x
    return np.where(np.abs(v) < 0.1, near, far)


def harmonic(n: Array) -> Array:
    """1 + 1/2 + ... + 1/n to machine precision (asymptotic series above 64)."""
    table = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1.0, 65.0))])
    x = np.maximum(n, 64).astype(np.float64)
    tail = np.log(x) + np.euler_gamma + 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6)
    return np.where(n <= 64, table[np.minimum(n, 64)], tail)
