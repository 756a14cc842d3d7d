"""An attacker that knows how its predictors err: P(predicted | true) is estimated on other people's photos."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array, Evidence, Genomes, one_hot
from linkbench.attackers.bayes import normalised
from linkbench.attackers.learner import FOLDS, Learner, Practice, practice


class Calibrated(Learner):
    """Sum over phenotypes of log sum_v P(predicted | v) P(v | genome), P(v | genome) normalised over variants.

    P(predicted | v) is the confusion matrix of the predictors on labelled photos of other people, every count
    plus one, so nothing is impossible.
    """

    def learn(self, training: Evidence, labels: Array) -> list[Array]:
        """One row-stochastic matrix [variants, variants] per phenotype: P(predicted z | true v) at [v, z]."""
        own = practice(self, training, labels, self.kinds())
        sizes = [len(training.schema[phenotype]) for phenotype in training.schema]
        return [_confusion(own, column, size) for column, size in enumerate(sizes)]

    def score(self, evidence: Evidence, genomes: Genomes, learned: list[Array]) -> Array:
        assert evidence.variants is not None
        table = normalised(genomes).T
        for span, confusion in zip(genomes.schema.slices.values(), learned, strict=True):
            table[span] = np.log(confusion.T @ table[span])  # log P(predicted z | genome), [z, m]
        scores: Array = one_hot(evidence.variants, genomes.schema) @ table
        return scores


def _confusion(own: Practice, column: int, size: int) -> Array:
    """P(predicted z | true v), float64 [size, size], from the kind of photos that foretells his people's best."""
    assert own.evidence.variants is not None
    known = own.known(column)
    true, predicted = own.labels[:, column], own.evidence.variants[:, column]

    def table(rows: Array) -> Array:
        counts = np.bincount(true[rows] * size + predicted[rows], minlength=size * size) + 1.0
        matrix = counts.reshape(size, size)
        matrix /= matrix.sum(axis=1, keepdims=True)
        return matrix

    def foretold(source: Array) -> float:
        """Log-likelihood of the predictions for his people, each part judged by what was learned from the others."""
        held = [own.judged & known & (own.fold == fold) for fold in range(FOLDS)]
        tables = [table(source & known & (own.fold != fold)) for fold in range(FOLDS)]
        return sum(
            float(np.log(matrix[true[rows], predicted[rows]]).sum()) for matrix, rows in zip(tables, held, strict=True)
        )

    return table(max(own.sources, key=foretold) & known)
