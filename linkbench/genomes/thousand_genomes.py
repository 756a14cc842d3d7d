"""Genomes of the 1000 Genomes Project: 2,504 openly consented people."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field

from linkbench.api.base import GenomeSource
from linkbench.api.data import Genomes, strings
from linkbench.api.schema import SCHEMAS, Schema
from linkbench.genomes import hirisplex, shipped

POPULATIONS = ("AFR", "AMR", "EAS", "EUR", "SAS")
"""Super-populations, by their number in `Genomes.ancestry`."""


class ThousandGenomes(GenomeSource):
    """Real genotypes of 2,504 people (1000 Genomes Project phase 3), phenotypes by HIrisPlex-S."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: hirisplex.SchemaName = Field(
        default="paper", alias="schema", description="the paper's phenotypes, or those of HIrisPlex-S"
    )
    population: Literal["ALL", "EUR", "AFR", "EAS", "SAS", "AMR"] = Field(
        default="ALL", description="one super-population, or all five"
    )

    def phenotypes(self) -> Schema:
        return SCHEMAS[self.schema_]

    def tells_ancestry(self) -> bool:
        return True

    def build(self, seed: int) -> Genomes:
        """[2504, V], or the people of one super-population, in the project's order; ids such as HG00096."""
        people = shipped.rows("thousand_genomes.csv")
        people = [person for person in people if self.population in ("ALL", person["super_population"])]
        dosages = hirisplex.dosage_digits([person["dosages"] for person in people])
        male = np.array([person["sex"] == "male" for person in people])
        return Genomes(
            self.phenotypes(),
            strings([person["id"] for person in people]),
            hirisplex.log_p(dosages, male, self.schema_),
            np.array([POPULATIONS.index(person["super_population"]) for person in people]),
        )
