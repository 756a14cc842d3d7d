"""Multinomial logistic regression on many features, to the one minimum that it has."""

from __future__ import annotations

import numpy as np
import torch

from linkbench.api.data import Array


def fit(
    features: Array,
    classes: Array,
    count: int,
    penalty: float,
    weights: Array | None = None,
    start: Array | None = None,
) -> Array:
    """float64 [D + 1, count], slopes and below them the intercepts, which are free.

    features: float64 [n, D]; classes: int64 [n]; weights: float64 [n], of the rows, 1 by default. They minimise the
    weighted sum of -log P(class | features) plus half the squared slopes times the penalty, above 0. It is searched for
    without random numbers (L-BFGS), from zeros or from coefficients of the same shape.
    """
    known = torch.from_numpy(np.ascontiguousarray(features))
    target = torch.from_numpy(np.ascontiguousarray(classes))
    weight = None if weights is None else torch.from_numpy(np.ascontiguousarray(weights))
    first = np.zeros((known.shape[1] + 1, count)) if start is None else start
    slopes = torch.tensor(first[:-1], dtype=torch.float64, requires_grad=True)
    offsets = torch.tensor(first[-1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [slopes, offsets], max_iter=500, tolerance_grad=1e-6, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        search.zero_grad()
        logits = known @ slopes + offsets
        if weight is None:
            total = torch.nn.functional.cross_entropy(logits, target, reduction="sum")
        else:
            total = (torch.nn.functional.cross_entropy(logits, target, reduction="none") * weight).sum()
        total = total + 0.5 * penalty * slopes.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return np.concatenate([slopes.detach().numpy(), offsets.detach().numpy()[None]])


def scaled(features: Array) -> tuple[Array, float]:
    """The mean [D], and the root of the mean square of what is left: penalties mean the same for every network."""
    middle = features.mean(axis=0)
    return middle, float(np.sqrt(np.square(features - middle).mean())) or 1.0


def within(features: Array) -> Array:
    """float64 [r, D], the directions that the rows span, at right angles: the best slopes lie among them."""
    axes: Array = np.linalg.svd(features, full_matrices=False)[2]
    return axes
