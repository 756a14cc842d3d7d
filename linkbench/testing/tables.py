"""Made-up genomes and labels on which plugins are tried; needs no torch."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array, Genomes, strings
from linkbench.api.schema import Schema

SCHEMA = Schema({"sex": ("female", "male"), "eye": ("blue", "intermediate", "brown")})
"""Two phenotypes: six combinations, so that attacks on the combination are quick. Names are those of the paper."""


PEOPLE = Schema({"identity": ("0", "1", "2", "3")})
"""What recipes learn that tell people apart."""


def probabilities(count: int, seed: int, schema: Schema = SCHEMA) -> Array:
    """float64 [count, V], the variants of each phenotype sum to 1."""
    table: Array = np.random.default_rng(seed).uniform(0.02, 1.0, (count, schema.width))
    for span in schema.slices.values():
        table[:, span] /= table[:, span].sum(axis=1, keepdims=True)
    return table


def variants(count: int, seed: int, schema: Schema = SCHEMA) -> Array:
    """int64 [count, P], a variant of each phenotype; every variant occurs."""
    generator = np.random.default_rng(seed)
    columns = [generator.permutation(np.arange(count) % len(schema[phenotype])) for phenotype in schema]
    return np.stack(columns, axis=1).astype(np.int64)


def genomes(count: int, seed: int, schema: Schema = SCHEMA) -> Genomes:
    """Made-up genomes, all different."""
    return Genomes(
        schema, strings([f"g{number}" for number in range(count)]), np.log(probabilities(count, seed, schema))
    )
