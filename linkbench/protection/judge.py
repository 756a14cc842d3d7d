"""What attackers make of faces, who know the tool and ran it on people of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from linkbench.api.data import Array, Evidence, Genomes, most_likely
from linkbench.errors import InputError
from linkbench.metrics import ranking
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.scores import Scores
from linkbench.risk.person import Ancestry, fitting, known_phenotypes, of_genotype, population
from linkbench.risk.reading import pool
from linkbench.stages.evidence import check_scores

if TYPE_CHECKING:
    from linkbench.api.schema import Schema
    from linkbench.genomes.genotype_files.reader import Genotypes
    from linkbench.protection.background import Background

PILE = 1_000
"""Genomes in the pile in which ranks are told."""


class Verdict(NamedTuple):
    """What an attacker with one predictor makes of one view of a face: the expected rank of the person's genome among
    PILE (1: found at once), and success@k in a pile of some size. Means over the genomes that the person may have."""

    rank: float
    success: float


def judge_of(
    background: Background,
    *,
    genotype: Genotypes | None,
    phenotypes: Mapping[str, str],
    ancestry: Ancestry,
    people: int,
    k: int = 1,
    size: int = 100,
) -> Judge:
    """Attackers who look among simulated people of an ancestry, as `linkbench risk` does.

    phenotypes: what is true of the person. Raises InputError for names that are none, and for a success in a pile that
    is larger than all the people.
    """
    schema = background.people.schema
    known = known_phenotypes(phenotypes, schema)
    if not 1 <= k <= size <= people:
        raise InputError(f"success@{k} in a pile of {size:,} cannot be told with {people:,} people")
    if genotype is None:
        return Judge(background, population(schema, ancestry, people, 0), known, None, k, size)
    others = population(schema, ancestry, people - 1, 0)
    pile = of_genotype(others, genotype.dosages, known, genotype.sex.sex, genotype.path)
    return Judge(background, pile.genomes, pile.known, pile.own, k, size)


class Judge:
    """Attackers, each with one predictor, who look for a person in a pile of genomes.

    genomes: the pile; own: int64 [r], genomes in it that the person may have; None: those that fit what is read from
    the face before it is protected; known: int64 [P], what is true of the person, MISSING elsewhere; k, size: which
    success is told, success@k in a pile of that size.
    """

    def __init__(
        self,
        background: Background,
        genomes: Genomes,
        known: Array,
        own: Array | None = None,
        k: int = 1,
        size: int = 100,
    ) -> None:
        self.background, self.genomes, self.known, self.fixed = background, genomes, known, own
        self.k, self.size = k, size

    def own(self, looked: dict[str, Array]) -> Array:
        """Genomes that the person in a face may have, after what predictors read from the face as it was, [.., V]."""
        if self.fixed is not None:
            return self.fixed
        read = pool(np.stack([each[0] for each in looked.values()]), self.genomes.schema)
        return fitting(self.genomes, self.known, read, seed=0).own

    def verdicts(self, opponent: str, probabilities: Array, own: Array, epsilon: float | None) -> list[Verdict]:
        """What the attacker makes of each view, float64 [n, V], who learned from photos that he protected with epsilon
        (None: that are as they were)."""
        schema = self.background.people.schema
        evidence = Evidence(schema, len(probabilities), most_likely(probabilities, schema), probabilities)
        attacker, learned = self.background.attacker, self.background.taught(opponent, epsilon)

        def block(rows: slice, columns: slice) -> Array:
            some = Genomes(self.genomes.schema, self.genomes.ids[:0], self.genomes.log_p[columns])
            asked = evidence.rows(np.arange(len(evidence))[rows])
            return check_scores(attacker.score(asked, some, learned), (len(asked), len(some)), attacker)

        rows = np.repeat(np.arange(len(evidence)), len(own))
        people = len(self.genomes)
        ranks = count_ranks(Scores(block, rows, np.tile(own, len(evidence)), len(evidence), people))
        success = ranking.success_curves(ranks, people, [self.k], [self.size])[0, 0]
        rank = 1 + (ranks.expected - 1) * (PILE - 1) / max(people - 1, 1)
        return [
            Verdict(float(each.mean()), float(hit.mean()))
            for each, hit in zip(rank.reshape(-1, len(own)), success.reshape(-1, len(own)), strict=True)
        ]


def reading(probabilities: Array, schema: Schema) -> dict[str, dict[str, float]]:
    """Probabilities [V] by phenotype and variant."""
    return {
        name: {
            variant: round(float(value), 4) for variant, value in zip(schema[name], probabilities[span], strict=True)
        }
        for name, span in schema.slices.items()
    }
