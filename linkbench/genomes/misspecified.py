"""What an attacker believes of genomes where his tables are wrong: the published model does not fit these people."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from linkbench.api.base import GenomeSource
from linkbench.api.data import Genomes
from linkbench.api.fields import GenomesSpec, nested
from linkbench.api.schema import Schema
from linkbench.api.seeds import generator
from linkbench.registry.spec import nested_plugin


class Misspecified(GenomeSource):
    """The attacker's reading of other genomes, of which cohorts, defenders and training know the truth.

    log P(variant | genome) = slope * log P_true + shift * e, normalised over the variants of each phenotype, e standard
    normal, one draw for each variant. A slope below 1: effects were overestimated by nobody, he is too careful; above
    1: too sure; shifts: variants that are more or less common among these people than he thinks (the two ways in which
    a risk model is out of calibration, Cox 1958).
    """

    genomes: GenomesSpec = nested("genomes", "thousand-genomes", "the genomes as they are")
    slope: float = Field(1.0, gt=0, le=10, description="of his log-probabilities on the true ones")
    shift: float = Field(0.0, ge=0, le=10, description="standard deviation of his errors in log-probability by variant")

    @field_validator("genomes")
    @classmethod
    def _once(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value["use"] == "misspecified":
            raise ValueError("misspecified cannot stand inside misspecified")
        return value

    @classmethod
    def trial(cls, folder: Any) -> dict[str, Any]:
        return {"genomes": {"use": "simulated", "count": 60}, "slope": 0.5, "shift": 1.0}

    def believed_of(self) -> dict[str, Any]:
        return self.genomes

    def _inner(self) -> GenomeSource:
        source: GenomeSource = nested_plugin(self.genomes, "genomes")
        return source

    def phenotypes(self) -> Schema:
        return self._inner().phenotypes()

    def tells_ancestry(self) -> bool:
        return self._inner().tells_ancestry()

    def build(self, seed: int) -> Genomes:
        true = self._inner().build(seed)
        errors = generator(seed, "misspecified").normal(size=true.log_p.shape[1])
        log_p = self.slope * true.log_p + self.shift * errors
        for span in true.schema.slices.values():
            log_p[:, span] -= log_p[:, span].max(axis=1, keepdims=True)
            log_p[:, span] -= np.log(np.exp(log_p[:, span]).sum(axis=1, keepdims=True))
        return Genomes(true.schema, true.ids, log_p, true.ancestry)
