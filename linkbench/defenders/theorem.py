"""Theorem 1 of Peck 2021 and its repair, as functions to measure them with; docs/theorem1.md has the proofs.

Photos are float32 [n, d] or [n, 3, h, w] in [0, 1], y is [n] of -1 and +1. Only numpy is needed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.errors import InputError

GREY = 0.5
"""The middle of the pixel range, where the rules put zero."""


def bound(epsilon: float, dimensions: int, norm: float) -> float:
    """The accuracy that the theorem claims for its linear rule: 1 - exp(-epsilon^2 d^(1 - 2/p) / 2), 0 to 1.

    norm: p from 2 to infinity; epsilon: radius of the p-ball in [0, 1] pixel units; dimensions: d, numbers per photo.
    """
    if not norm >= 1:
        raise InputError(f"a norm is 1 or more, infinity included, found {norm}")
    if epsilon < 0 or dimensions < 1:
        raise InputError(f"a radius is 0 or more and a photo has pixels, found {epsilon} and {dimensions}")
    return float(-math.expm1(-(epsilon**2) * dimensions ** (1 - 2 / norm) / 2))


def epsilon_for(eta: float, dimensions: int, norm: float) -> float:
    """The radius said to be enough to err with probability at most eta in (0, 1): `bound` turned around."""
    if not 0 < eta < 1:
        raise InputError(f"a probability of error lies between 0 and 1, found {eta}")
    return math.sqrt(2 * math.log(1 / eta) / dimensions ** (1 - 2 / norm))


def step(epsilon: float, dimensions: int, norm: float) -> float:
    """alpha, the shift of each pixel whose p-norm over d pixels is epsilon: epsilon d^(-1/p)."""
    return float(epsilon * dimensions ** (-1 / norm))


def several_bound(alpha: float, dimensions: int, classes: int) -> float:
    """What the repaired theorem promises for several classes after clipping: 1 - (C - 1) exp(-d alpha^2 / 8), or 0."""
    return max(0.0, 1 - (classes - 1) * math.exp(-dimensions * min(alpha, 1.0) ** 2 / 8))


def flips(dimensions: int, seed: int) -> Array:
    """w: float32 [d] of independent fair -1 and +1."""
    flips: Array = seeds.generator(seed, "theorem").integers(0, 2, dimensions).astype(np.float32) * 2 - 1
    return flips


def poison(photos: Array, y: Array, alpha: float, pattern: Array | float = 1.0, *, clip: bool = True) -> Array:
    """photos + alpha y pattern, clipped to [0, 1]; pattern 1 is the theorem's mean shift, w the repaired one."""
    out = photos + alpha * y.reshape(-1, *[1] * (photos.ndim - 1)).astype(np.float32) * np.asarray(pattern, np.float32)
    return np.asarray(out.clip(0, 1) if clip else out)


def correlation(photos: Array, pattern: Array | float, centre: Array | float = GREY) -> Array:
    """float64 [n]: <pattern, x - centre> / d. Pattern 1 gives the theorem's own statistic, the mean of the photo."""
    flat = photos.reshape(len(photos), -1)
    size = flat.shape[1]
    pattern = np.broadcast_to(np.asarray(pattern, flat.dtype).reshape(-1), size)
    middle = np.broadcast_to(np.asarray(centre, np.float64).reshape(-1), size)
    return np.asarray(((flat @ pattern).astype(np.float64) - middle @ pattern.astype(np.float64)) / size)


def rule(photos: Array, pattern: Array | float, centre: Array | float = GREY) -> Array:
    """int64 [n] of -1 and +1: sgn <pattern, x - centre> / d, zero counted as +1."""
    return np.where(correlation(photos, pattern, centre) >= 0, 1, -1)


def several_rule(photos: Array, patterns: Array, centre: Array | float = GREY) -> Array:
    """int64 [n]: the class whose pattern, of [C, d], correlates most with the photo."""
    return np.asarray(np.stack([correlation(photos, pattern, centre) for pattern in patterns]).argmax(axis=0))


def accuracy(said: Array, y: Array) -> float:
    """Part of the photos for which the rule is right."""
    return float((said == y).mean())


def eight_bit(photos: Array) -> Array:
    """Rounded to multiples of 1/255."""
    return np.round(photos * 255) / np.float32(255)


def normal_accuracy(alpha: float, spread: float) -> float:
    """Phi(alpha / spread): what the mean-shift rule reaches if photo means are normal with this standard deviation."""
    return 0.5 * (1 + math.erf(alpha / spread / math.sqrt(2))) if spread > 0 else 1.0


class Linear(NamedTuple):
    """weights: float64 [d, C]; intercept: float64 [C]; says class argmax_c."""

    weights: Array
    intercept: Array

    def __call__(self, photos: Array) -> Array:
        """int64 [n], the class of each photo."""
        scores = photos.reshape(len(photos), -1).astype(np.float64) @ self.weights + self.intercept
        return np.asarray(scores.argmax(axis=1))


def least_squares(photos: Array, classes: Array, ridge: float = 1e-3) -> Linear:
    """A linear model trained on photos [n, ...] and int classes [n]: ridge regression on one-hot targets, centred.

    ridge: penalty as a part of the mean squared length of a centred photo. Solved through the n x n matrix of inner
    products, so photos may have many more numbers than there are photos. A class without photos is never said.
    """
    flat = photos.reshape(len(photos), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    flat = flat - mean
    targets = np.eye(int(classes.max()) + 1)[classes]
    level = targets.mean(axis=0)
    products = flat @ flat.T
    products[np.diag_indices(len(flat))] += ridge * np.trace(products) / len(flat) + 1e-12
    weights = flat.T @ np.linalg.solve(products, targets - level)
    return Linear(weights, level - mean @ weights)
