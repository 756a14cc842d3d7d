"""Was this photo protected, and by which tool? What changes leave in the finest detail, learned from such photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.attackers import logistic

BANDS = 8
"""Rings of the spatial frequencies, from the coarsest to the finest."""

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0)
"""Penalties on squared slopes, of standardised features, to choose from."""

FOLDS = 5
"""Parts of the attacker's people; penalties are judged on each by what was learned from the others."""

OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]])
"""Brightness, red against green and yellow against blue: real photos have little fine detail in the last two."""


def features(photos: Array) -> Array:
    """float64 [n, 3 * (BANDS + 4)] of photos float or uint8 [n, 3, h, w], as 8 bits show them.

    By colour axis: the logarithm of the mean power in each ring of frequencies; of what a 3 x 3 mean leaves over the
    log of its spread, the log of its kurtosis, and how alike neighbours are in it, across and down. Residuals of local
    means are what steganalysis looks at (Fridrich & Kodovsky 2012).
    """
    pixels = photos.astype(np.float64) * (1.0 if photos.dtype == np.uint8 else 255.0)
    axes = np.einsum("ac,nchw->nahw", OPPONENT, np.rint(pixels))
    power = np.abs(np.fft.rfft2(axes - axes.mean(axis=(2, 3), keepdims=True))) ** 2
    height, width = axes.shape[2:]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    ring = np.minimum((radius / 0.5 * BANDS).astype(np.int64), BANDS - 1)
    rings = [np.log(power[:, :, ring == band].mean(axis=2) + 1.0) for band in range(BANDS)]
    fine = axes - _mean_around(axes)
    spread = fine.std(axis=(2, 3)) + 1e-3
    kurtosis = np.log((fine**4).mean(axis=(2, 3)) / spread**4 + 1e-3)
    across = (fine[..., :-1] * fine[..., 1:]).mean(axis=(2, 3)) / spread**2
    down = (fine[..., :-1, :] * fine[..., 1:, :]).mean(axis=(2, 3)) / spread**2
    return np.concatenate([*rings, np.log(spread), kurtosis, across, down], axis=1)


def _mean_around(axes: Array) -> Array:
    """The mean of 3 x 3 pixels around each; beyond the border photos go on as their outermost pixels."""
    wide = np.pad(axes, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = axes.shape[2:]
    parts = [wide[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    out: Array = np.mean(parts, axis=0)
    return out


class Detector(NamedTuple):
    """mean, spread: of the features of photos of the first kind, float64 [D]; coefficients: float64 [K, D + 1]."""

    mean: Array
    spread: Array
    coefficients: Array

    def told(self, photos: Array) -> Array:
        """float64 [n, K], log P(kind | photo)."""
        return logistic.log_probabilities((features(photos) - self.mean) / self.spread, self.coefficients)


def learn(kinds: Sequence[Array], person: Array) -> Detector:
    """From photos of the attacker's people [n, 3, h, w] of each kind: first without protection, then after one tool
    each. person: int64 [n], the same of every kind.

    A multinomial logistic regression; its penalty maximises the likelihood under cross-validation over people.
    """
    seen = [features(photos) for photos in kinds]
    mean, spread = seen[0].mean(axis=0), np.maximum(seen[0].std(axis=0), 1e-6)
    rows = (np.concatenate(seen) - mean) / spread
    targets = np.repeat(np.eye(len(kinds)), [len(each) for each in seen], axis=0)
    _, who = np.unique(person, return_inverse=True)
    fold = np.tile(who % FOLDS, len(kinds))
    learned = np.array([fold != part for part in range(FOLDS)], dtype=np.float64)
    likelihood = []
    for penalty in PENALTIES:
        tried = logistic.fit(rows, targets, learned, np.full((FOLDS, rows.shape[1]), penalty))
        told = (logistic.log_probabilities(rows, tried) * targets).sum(axis=2)
        likelihood.append(float((told * (1.0 - learned)).sum()))
    best = PENALTIES[int(np.argmax(likelihood))]
    fitted = logistic.fit(rows, targets, np.ones((1, len(rows))), np.full((1, rows.shape[1]), best))
    return Detector(mean, spread, fitted[0])
