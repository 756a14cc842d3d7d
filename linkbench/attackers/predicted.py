"""The paper's attacker: the sum of log P(predicted variant | genome) over the phenotypes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from linkbench.api.base import Attacker
from linkbench.api.data import MISSING, Array, Evidence, Genomes, one_hot
from linkbench.api.fields import PhenotypeNames


def summed_log_probability(variants: Array, genomes: Genomes) -> Array:
    """float64 [n, m], sum over phenotypes of log P(z_ip | y_j); MISSING variants add nothing."""
    scores: Array = one_hot(variants, genomes.schema) @ genomes.log_p.T
    return scores


OPEN = 1e-9
"""Probabilities of all variants that lie closer than this say nothing."""


def read_variants(evidence: Evidence) -> Array:
    """int64 [n, P], the most likely variants; MISSING where all are as likely: the first is no reading."""
    assert evidence.variants is not None
    assert evidence.probabilities is not None
    variants = evidence.variants.copy()
    for column, span in enumerate(evidence.schema.slices.values()):
        spread = np.ptp(evidence.probabilities[:, span], axis=1)
        variants[spread < OPEN, column] = MISSING
    return variants


class Predicted(Attacker):
    """Sum over phenotypes of log P(most likely predicted variant | genome). Venkatesaramani et al. 2021, Eq. 1.

    A phenotype whose variants are all as likely, as predictors leave those open that they do not read, adds nothing.
    """

    sees: ClassVar[frozenset[str]] = frozenset({"variants", "probabilities"})
    decided: ClassVar[bool] = True

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Array:
        return summed_log_probability(read_variants(evidence), genomes)


class GroundTruth(Attacker):
    """The paper's score with the true variants instead of predicted ones: the upper bound of perfect predictors."""

    sees: ClassVar[frozenset[str]] = frozenset({"truth"})

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Array:
        assert evidence.truth is not None
        return summed_log_probability(evidence.truth, genomes)


class Known(Attacker):
    """Some phenotypes are known for certain, the others predicted: the paper's known-eye-colour attacker."""

    sees: ClassVar[frozenset[str]] = frozenset({"variants", "probabilities", "truth"})
    phenotypes: PhenotypeNames = Field(("eye",), description="those known for certain")

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Array:
        assert evidence.truth is not None
        variants = read_variants(evidence)
        for column, phenotype in enumerate(genomes.schema):
            if phenotype in self.phenotypes:
                told = evidence.truth[:, column] != MISSING
                variants[told, column] = evidence.truth[told, column]
        return summed_log_probability(variants, genomes)
