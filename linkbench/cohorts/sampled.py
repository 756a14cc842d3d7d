"""People without photos, for studies of scale: phenotypes and predictions drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from linkbench.api.base import CohortSource
from linkbench.api.data import TEST, Array, Cohort, Genomes, check_cohort, one_hot
from linkbench.api.schema import PAPER
from linkbench.cohorts.paper_tables import published_labels
from linkbench.errors import InputError
from linkbench.genomes.simulated import numbered


def confusion(phenotype: str) -> Array:
    """P(predicted | true) [variants, variants] in the authors' predictions of 456 photos; rows sum to 1."""
    column = PAPER.names.index(phenotype)
    labels, predicted = published_labels()
    counts = np.zeros((len(PAPER[phenotype]),) * 2)
    np.add.at(counts, (labels[:, column], predicted[:, column]), 1)
    shares: Array = counts / counts.sum(axis=1, keepdims=True)
    return shares


def draw(weights: Array, uniform: Array) -> Array:
    """int64 [n], a column for each row of weights [n, k], from uniform numbers [n] in [0, 1)."""
    edges = weights.cumsum(axis=1)
    chosen: Array = (uniform[:, None] * edges[:, -1:] >= edges[:, :-1]).sum(axis=1)
    return chosen


class Sampled(CohortSource):
    """People drawn from the genomes, each seen by a simulated predictor; there are no photos."""

    has_photos: ClassVar[bool] = False

    count: int = Field(default=1000, ge=1, le=1_000_000, description="how many people, each with another genome")
    predictor: Literal["paper", "perfect"] = Field(
        default="paper", description="paper: errs as often and in the same way as the authors' networks"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"count": 60}

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """All to be linked; variants follow P(variant | genome), normalised, each phenotype by itself."""
        schema = genomes.schema
        if self.predictor == "paper" and schema != PAPER:
            raise InputError(
                f"cohort 'sampled': the errors of predictor 'paper' are known for {PAPER!r} only, "
                f"but the genomes have {schema!r}. Use 'predictor: perfect', or genomes with 'schema: paper'"
            )
        if self.count > len(genomes):
            raise InputError(
                f"cohort 'sampled': {self.count} people need as many genomes, but there are {len(genomes)}. "
                f"Lower 'count', or use more genomes (such as 'simulated')"
            )
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x73616D70])))
        truth = random.choice(len(genomes), self.count, replace=False)
        labels = np.empty((self.count, len(schema)), dtype=np.int64)
        predicted = np.empty_like(labels)
        for column, (phenotype, span) in enumerate(schema.slices.items()):
            labels[:, column] = draw(np.exp(genomes.log_p[truth, span]), random.random(self.count))
            predicted[:, column] = labels[:, column]
            if self.predictor == "paper":
                predicted[:, column] = draw(confusion(phenotype)[labels[:, column]], random.random(self.count))
        cohort = Cohort(
            schema=schema,
            ids=numbered("person", self.count),
            identity=np.arange(self.count, dtype=np.int64),
            labels=labels,
            truth=truth.astype(np.int64),
            split=np.full(self.count, TEST, dtype=np.int64),
            predictions=one_hot(predicted, schema),
        )
        return check_cohort(cohort, genomes, "cohort 'sampled'")
