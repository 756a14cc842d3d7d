"""The people of the paper: labels and published predictions, no photos."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from linkbench.api.base import CohortSource
from linkbench.api.data import TEST, Array, Cohort, Genomes, check_cohort, one_hot, strings
from linkbench.api.schema import PAPER
from linkbench.errors import InputError
from linkbench.genomes import shipped


def published_labels() -> tuple[Array, Array]:
    """True and predicted variants, int64 [456, 4] each, in the order of linkbench.api.schema.PAPER."""
    people = shipped.rows("paper_labels.csv")
    labels, predicted = (
        np.array([[PAPER[name].index(row[prefix + name]) for name in PAPER] for row in people], dtype=np.int64)
        for prefix in ("", "predicted_")
    )
    return labels, predicted


class PaperTablesCohort(CohortSource):
    """Labels and predictions published for the 456 photos of Venkatesaramani et al. 2021; no photos."""

    has_photos: ClassVar[bool] = False

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """All 456, to be linked; the true genome is the one with the same id, else InputError."""
        people = shipped.rows("paper_labels.csv")
        ids = strings([row["id"] for row in people])
        row_of = {name: row for row, name in enumerate(genomes.ids.tolist())}
        if missing := [name.decode() for name in ids.tolist() if name not in row_of]:
            raise InputError(
                f"cohort 'paper-tables': {len(missing)} of its {len(ids)} people have no genome, "
                f"the first is {missing[0]!r}. Use the genomes 'paper-tables', or a table with the same ids"
            )
        labels, predicted = published_labels()
        cohort = Cohort(
            schema=PAPER,
            ids=ids,
            identity=np.array([int(row["identity"]) for row in people], dtype=np.int64),
            labels=labels,
            truth=np.array([row_of[name] for name in ids.tolist()], dtype=np.int64),
            split=np.full(len(ids), TEST, dtype=np.int64),
            predictions=one_hot(predicted, PAPER),
        )
        return check_cohort(cohort, genomes, "cohort 'paper-tables'")
