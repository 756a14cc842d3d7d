"""What missing SNPs do to the probabilities of eye, hair and skin colour."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.genomes import hirisplex

SPAN = (0.05, 0.95)
"""The part of the possible genotypes between which `low` and `high` of a chance lie."""


class Chance(NamedTuple):
    """P(class | what is known), and where it would lie for 90 % of people who fit the known genotypes."""

    mean: float
    low: float
    high: float


class Effect(NamedTuple):
    """One group (eye, hair, shade, skin): SNPs that it uses and that are missing, how many it uses, and its classes."""

    missing: tuple[str, ...]
    used: int
    chances: dict[str, Chance]


def effects(dosages: Array) -> dict[str, Effect]:
    """Each group of `hirisplex.CLASSES`; dosages: [S], NaN where unknown, columns are `hirisplex.model().snps`.

    The mean is the engine's: missing SNPs are averaged over 1000 Genomes. Low and high are quantiles of the chance
    over the same genotypes, in Hardy-Weinberg proportions, each SNP by itself: what would be read with nothing missing.
    """
    model = hirisplex.model()
    mean = hirisplex.probabilities(dosages[None])[0]
    out = {}
    for number, (group, span) in enumerate(hirisplex.CLASSES.slices.items()):
        columns = slice(span.start - number, span.stop - number - 1)  # reference classes have no column
        used = model.coefficients[:, columns].any(axis=1)
        absent = np.flatnonzero(np.isnan(dosages) & used)
        filled, weights = hirisplex.completions(absent)
        people = np.tile(np.where(np.isnan(dosages), 0.0, dosages), (len(filled), 1))
        people[:, absent] = filled
        possible = hirisplex.probabilities(people)[:, span]
        low, high = (_quantile(possible, weights, share) for share in SPAN)
        chances = {
            variant: Chance(float(mean[span][place]), float(low[place]), float(high[place]))
            for place, variant in enumerate(hirisplex.CLASSES[group])
        }
        out[group] = Effect(tuple(model.snps[snp] for snp in absent), int(used.sum()), chances)
    return out


def _quantile(values: Array, weights: Array, share: float) -> Array:
    """[C], for each column of [Q, C] the smallest value that has `share` of the weight at or below it."""
    order = np.argsort(values, axis=0, kind="stable")
    below = np.cumsum(weights[order], axis=0)
    place = np.minimum((below < share * below[-1] - 1e-12).sum(axis=0), len(values) - 1)
    out: Array = np.take_along_axis(np.take_along_axis(values, order, axis=0), place[None], axis=0)[0]
    return out
