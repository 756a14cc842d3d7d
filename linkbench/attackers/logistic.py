"""Multinomial logistic regression with an L2 penalty: many at once on the same rows, by Newton's method.

Bishop 2006, 4.3.4. For small problems: a handful of classes and features, whose Hessians are solved exactly.
"""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array

STEPS = 100
"""Newton steps at most; convex problems of this size need about ten."""

TOLERANCE = 1e-9
"""A fit is done where no component of the gradient, divided by the weight of all rows, is larger."""

HALVINGS = 30
"""How often a Newton step may be halved until the objective falls."""


def log_probabilities(features: Array, coefficients: Array) -> Array:
    """float64 [.., n, K], log P(class | features) under coefficients [.., K, D + 1], intercepts first."""
    logits = _design(features) @ coefficients.swapaxes(-1, -2)
    logits -= logits.max(axis=-1, keepdims=True)
    out: Array = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return out


def fit(features: Array, targets: Array, weights: Array, penalty: Array) -> Array:
    """Coefficients float64 [B, K, D + 1] of B regressions on the same rows.

    features: float64 [n, D]; targets: float64 [n, K], rows of zeros and a one; weights: float64 [B, n], >= 0; penalty:
    float64 [B, D], > 0. Each minimises the weighted sum of -log P(target | features), plus half the squares of the
    slopes times the penalties of their features. Intercepts are free, and sum to zero; so every class needs a row with
    a positive weight.
    """
    rows, classes = _design(features), targets.shape[1]
    width = rows.shape[1]
    ridge = np.concatenate([np.zeros((len(penalty), 1)), penalty], axis=1)[:, None, :]
    outer = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), width * width)
    solved = np.zeros((len(weights), classes, width))
    value = _objective(solved, features, targets, weights, ridge)
    total = np.maximum(weights.sum(axis=1), 1.0)
    alive = np.arange(len(weights))
    for _ in range(STEPS):
        probability = np.exp(log_probabilities(features, solved[alive]))
        error = (probability - targets) * weights[alive][:, :, None]
        gradient = error.swapaxes(1, 2) @ rows + ridge[alive] * solved[alive]
        ahead = np.abs(gradient).max(axis=(1, 2)) > TOLERANCE * total[alive]
        if not ahead.any():
            break
        alive, gradient = alive[ahead], gradient[ahead]
        hessian = _hessian(probability[ahead], weights[alive], outer, ridge[alive])
        step = np.linalg.solve(hessian, gradient.reshape(len(alive), -1, 1)).reshape(gradient.shape)
        length = np.ones((len(alive), 1, 1))
        for _ in range(HALVINGS):
            tried = solved[alive] - length * step
            reached = _objective(tried, features, targets, weights[alive], ridge[alive])
            worse = reached > value[alive] + 1e-12 * np.abs(value[alive])
            if not worse.any():
                break
            length[worse] /= 2
        solved[alive], value[alive] = tried, reached
    return solved


def _design(features: Array) -> Array:
    """A column of ones before the features."""
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)


def _objective(coefficients: Array, features: Array, targets: Array, weights: Array, ridge: Array) -> Array:
    """float64 [B], what each regression minimises."""
    lost = -(log_probabilities(features, coefficients) * targets).sum(axis=2)
    out: Array = (weights * lost).sum(axis=1) + (ridge * coefficients**2).sum(axis=(1, 2)) / 2
    return out


def _hessian(probability: Array, weights: Array, outer: Array, ridge: Array) -> Array:
    """float64 [b, K (D + 1), K (D + 1)]; invertible, because the sum of the intercepts, which is free, is held."""
    count, rows, classes = probability.shape
    width = ridge.shape[-1]
    size = classes * width
    curvature = -probability[:, :, :, None] * probability[:, :, None, :]
    curvature[..., range(classes), range(classes)] += probability
    curvature *= weights[:, :, None, None]
    blocks = (curvature.reshape(count, rows, -1).swapaxes(1, 2) @ outer).reshape(count, classes, classes, width, width)
    # the gradient never points along the sum of the intercepts, so a curvature there changes no step
    blocks[..., 0, 0] += 1.0
    hessian: Array = blocks.swapaxes(2, 3).reshape(count, size, size)
    hessian[:, range(size), range(size)] += np.broadcast_to(ridge, (count, classes, width)).reshape(count, size)
    return hessian
