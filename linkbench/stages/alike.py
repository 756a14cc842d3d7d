"""Candidates that are like the person: what an attack finds once sex, or sex and ancestry, are known anyway."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array, Genomes
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.scores import Scores
from linkbench.scenario.linkage import ANCESTRY


def ranks_among_alike(
    scores: Scores, place: Array | None, genomes: Genomes, truth: Array, alike: list[str]
) -> dict[str, Array]:
    """For each way to be alike, such as `sex+ancestry`: how many of the genomes that are like the true one beat it.

    place: int64 [M], the column of each genome in the scores, or None where it is its number; truth: int64 [N]. Arrays
    `alike_better`, `alike_tied` and `alike_population`, int64 [ways, N]; genomes are alike whose most likely variants
    of the named phenotypes are the same.
    """
    scores = scores.held()
    column = np.arange(len(genomes)) if place is None else place
    out = np.zeros((3, len(alike), len(truth)), dtype=np.int64)
    for way, words in enumerate(alike):
        kinds = np.stack([_kind_of(genomes, word) for word in words.split("+")], axis=1)
        group = np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1)
        for own in np.unique(group[truth]):
            members, photos = np.flatnonzero(group == own), np.flatnonzero(group[truth] == own)
            weight = np.bincount(column[members], minlength=scores.columns).astype(np.float64)
            ranks = count_ranks(scores._replace(weight=weight))
            out[:2, way, photos] = ranks.better[photos], ranks.tied[photos]
            out[2, way, photos] = len(members)
    return dict(zip(("alike_better", "alike_tied", "alike_population"), out, strict=True))


def _kind_of(genomes: Genomes, word: str) -> Array:
    """int64 [M], which variant of a phenotype a genome has, or which ancestry."""
    if word != ANCESTRY:
        kinds: Array = genomes.log_p[:, genomes.schema.slices[word]].argmax(axis=1)
        return kinds
    assert genomes.ancestry is not None  # or the scenario had been refused
    return genomes.ancestry
