"""Several photos of one person, looked at together: which, and how much the second tells that the first did not."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import MISSING, Array
from linkbench.errors import InputError

CORRELATIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Correlations of the errors in photos of one person, to choose from; 1: the second photo tells nothing new."""


def units(person: Array, size: int) -> Array:
    """int64 [n], numbered from 0: photos with equal numbers are of one person and looked at together.

    person: int64 [n]; size: the most photos of one unit. A person's photos are cut into as few parts as that allows, as
    equal as can be, in their order.
    """
    order = np.argsort(person, kind="stable")
    out = np.empty(len(person), dtype=np.int64)
    ends = np.flatnonzero(np.diff(person[order])) + 1
    count = 0
    for photos in np.split(order, ends) if len(person) else ():
        for part in np.array_split(photos, -(-len(photos) // size)):
            out[part] = count
            count += 1
    return out


def fused(log_ratios: Array, unit: Array, correlation: float) -> Array:
    """float64 [units, V]: the sum over the photos of a unit, divided by 1 + (photos - 1) * correlation.

    log_ratios: float64 [n, V], log P(outputs | variant) / P(outputs). As many equally correlated observations are worth
    as many independent ones as there are, divided by that (the design effect; Kish 1965, 5.4).
    """
    total = np.zeros((int(unit.max(initial=-1)) + 1, log_ratios.shape[1]))
    np.add.at(total, unit, log_ratios)
    photos = np.bincount(unit, minlength=len(total))
    out: Array = total / (1.0 + (photos - 1.0) * correlation)[:, None]
    return out


def calibrated_correlation(
    log_ratios: list[Array], priors: list[Array], labels: Array, person: Array, size: int
) -> float:
    """The one of CORRELATIONS that makes the variants of the attacker's own people likeliest, given all their photos.

    log_ratios: by phenotype, float64 [n, K], of photos by what other people taught; priors: log P(variant), [K];
    labels: int64 [n, P]; person: int64 [n]. Raises InputError where nobody has two photos.
    """
    unit = units(person, size)
    _, first, photos = np.unique(unit, return_index=True, return_counts=True)
    several = photos > 1
    if not several.any():
        raise InputError(
            f"the attacker is to look at {size} photos of a person together, but each of the people that he learns "
            f"from has one, so he cannot tell what a second one is worth; bring a cohort with several photos of each "
            f"person (rendered: 'per_identity'), or leave 'pool' out"
        )

    def likelihood(correlation: float) -> float:
        told = 0.0
        for column, (ratios, prior) in enumerate(zip(log_ratios, priors, strict=True)):
            joint = fused(ratios, unit, correlation) + prior
            joint -= joint.max(axis=1, keepdims=True)
            posterior = joint - np.log(np.exp(joint).sum(axis=1, keepdims=True))
            true = labels[first, column]
            known = np.flatnonzero(several & (true != MISSING))
            told += float(posterior[known, true[known]].sum())
        return told

    return max(CORRELATIONS, key=likelihood)
