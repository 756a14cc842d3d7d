"""An attacker that uses the whole softmax instead of its largest entry."""

from __future__ import annotations

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import Array, Evidence, Genomes
from linkbench.attackers.bayes import TINY, normalised, variant_counts


class Soft(Attacker):
    """Sum over phenotypes of log sum_v P(v | photo) / P(v) * P(v | genome): Bayes' rule with the softmax.

    P(v) is how common a variant is among the labelled photos of other people (counts plus one): the predictors
    have learnt it together with the face, and it must not be counted twice.
    """

    sees = frozenset({"probabilities"})

    def learn(self, training: Evidence, labels: Array) -> list[Array]:
        """P(v), one array per phenotype."""
        return [counts / counts.sum() for counts in variant_counts(labels, training.schema)]

    def score(self, evidence: Evidence, genomes: Genomes, learned: list[Array]) -> Array:
        assert evidence.probabilities is not None
        probability = normalised(genomes)
        product = np.ones((len(evidence), len(genomes)))
        for span, prior in zip(genomes.schema.slices.values(), learned, strict=True):
            likelihood = (evidence.probabilities[:, span] / prior) @ probability[:, span].T
            product *= np.maximum(likelihood, TINY ** (1 / len(learned)))
        scores: Array = np.log(product, out=product)
        return scores
