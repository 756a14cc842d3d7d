"""An attacker that knows how its predictors err: P(predicted | true) is estimated on other people's photos."""

from __future__ import annotations

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import MISSING, Array, Evidence, Genomes, one_hot
from linkbench.attackers.bayes import normalised


class Calibrated(Attacker):
    """Sum over phenotypes of log sum_v P(predicted | v) P(v | genome), P(v | genome) normalised over variants.

    P(predicted | v) is the confusion matrix of the predictors on labelled photos of other people, every count
    plus one, so nothing is impossible.
    """

    def learn(self, training: Evidence, labels: Array) -> list[Array]:
        """One row-stochastic matrix [variants, variants] per phenotype: P(predicted z | true v) at [v, z]."""
        assert training.variants is not None
        out = []
        for phenotype, true, predicted in zip(training.schema, labels.T, training.variants.T, strict=True):
            size = len(training.schema[phenotype])
            known = true != MISSING
            counts = np.bincount(true[known] * size + predicted[known], minlength=size * size) + 1.0
            table = counts.reshape(size, size)
            out.append(table / table.sum(axis=1, keepdims=True))
        return out

    def score(self, evidence: Evidence, genomes: Genomes, learned: list[Array]) -> Array:
        assert evidence.variants is not None
        table = normalised(genomes).T
        for span, confusion in zip(genomes.schema.slices.values(), learned, strict=True):
            table[span] = np.log(confusion.T @ table[span])  # log P(predicted z | genome), [z, m]
        scores: Array = one_hot(evidence.variants, genomes.schema) @ table
        return scores
