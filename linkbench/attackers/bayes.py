"""Shared arithmetic of the attackers: per-phenotype probabilities of genomes, and counting."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import MISSING, Array, Genomes
from linkbench.api.schema import Schema

TINY = 1e-300
"""Keeps the logarithm finite where predictions exclude every variant that a genome allows."""


def normalised(genomes: Genomes) -> Array:
    """float64 [m, V], P(variant | genome) scaled so that the variants of each phenotype sum to 1."""
    # one row per variant while computing: numpy is slow on many rows of two or three
    out = np.array(genomes.log_p.T, dtype=np.float64, order="C")
    for span in genomes.schema.slices.values():
        part = out[span]
        part -= part.max(axis=0)
        np.exp(part, out=part)
        part /= part.sum(axis=0)
    return out.T


def variant_counts(labels: Array, schema: Schema) -> list[Array]:
    """How often each variant occurs among int64 [n, P] labels, one array per phenotype, each count plus one."""
    return [
        np.bincount(column[column != MISSING], minlength=len(schema[name])) + 1.0
        for name, column in zip(schema, labels.T, strict=True)
    ]
