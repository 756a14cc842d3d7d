"""The paper's own table of genomes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from linkbench.api.base import GenomeSource
from linkbench.api.data import Genomes, strings
from linkbench.api.schema import PAPER
from linkbench.genomes import shipped


class PaperTables(GenomeSource):
    """The 456 genomes published with Venkatesaramani et al. 2021 (Zenodo 10.5281/zenodo.5522953)."""

    setting: Literal["realistic", "ideal"] = Field(
        default="realistic",
        description="genomes of people with these phenotypes, or the most typical genome for them",
    )

    def build(self, seed: int) -> Genomes:
        """[456, 11], ids such as 1, 2, 6; exactly as published: the variants of a phenotype do not sum to 1."""
        table = shipped.rows(f"paper_{self.setting}.csv")
        published = np.array([[float(row[column]) for column in PAPER.columns] for row in table])
        return Genomes(PAPER, strings([row["id"] for row in table]), np.log(published))
