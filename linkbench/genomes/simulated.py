"""Simulated genomes: as many people as a study of scale needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, field_validator

from linkbench.api.base import GenomeSource
from linkbench.api.data import Array, Genomes
from linkbench.api.schema import SCHEMAS, Schema
from linkbench.genomes import hirisplex

_STREAM = 0x67656E6F  # keeps these random numbers apart from those of other parts that start from the same seed


def numbered(prefix: str, count: int) -> Array:
    """The ids prefix0000001, .. as bytes strings [count]; 7 digits, more from ten million on."""
    width = max(7, len(str(count)))
    text = np.zeros((count, len(prefix) + width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode("ascii"), dtype=np.uint8)
    first = 1
    for digits in range(7, width + 1):
        last = min(count, 10**digits - 1)
        for place in range(digits):
            values = np.arange(first, last + 1) // 10 ** (digits - 1 - place) % 10
            text[first - 1 : last, len(prefix) + place] = values + ord("0")
        first = last + 1
    return text.view(f"S{text.shape[1]}").reshape(count)


class Simulated(GenomeSource):
    """People drawn from published allele frequencies (Hardy-Weinberg), phenotypes by HIrisPlex-S."""

    model_config = ConfigDict(serialize_by_alias=True)

    count: int = Field(default=10_000, ge=1, le=100_000_000, description="how many people")
    mix: dict[hirisplex.SuperPopulation, float] = Field(
        default={"AFR": 661, "AMR": 347, "EAS": 504, "EUR": 503, "SAS": 489},
        description="weight of each super-population (need not sum to 1); default: as in 1000 Genomes",
    )
    schema_: hirisplex.SchemaName = Field(
        default="paper", alias="schema", description="the paper's phenotypes, or those of HIrisPlex-S"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"count": 60}

    @field_validator("mix")
    @classmethod
    def _weights(cls, mix: dict[str, float]) -> dict[str, float]:
        if not all(0 <= weight < float("inf") for weight in mix.values()) or not sum(mix.values()) > 0:
            raise ValueError("the weights of the super-populations must be 0 or more, and one above 0")
        return mix

    def phenotypes(self) -> Schema:
        return SCHEMAS[self.schema_]

    def genotypes(self, seed: int, first: int, stop: int) -> tuple[Array, Array]:
        """Dosages uint8 [n, S] and male bool [n] of people first to stop-1, from 0, whatever `count` is."""
        names = sorted(self.mix)
        edges = np.stack([hirisplex.hardy_weinberg(hirisplex.model().frequency[name]) for name in names], axis=1)
        bounds = np.cumsum([self.mix[name] for name in names])
        snps = edges.shape[2]
        steps = -(-(snps + 2) // 4)  # Philox yields four numbers a step; each person owns a fixed stretch of steps
        key = np.random.SeedSequence([seed, _STREAM]).generate_state(2, np.uint64)
        random = np.random.Generator(np.random.Philox(key=key).advance(first * steps))
        uniform = random.random((stop - first, 4 * steps))
        place = np.searchsorted(bounds[:-1] / bounds[-1], uniform[:, 0], side="right")
        drawn = uniform[:, 2 : 2 + snps]
        dosages = (drawn >= edges[0, place]).view(np.uint8) + (drawn >= edges[1, place]).view(np.uint8)
        return dosages, uniform[:, 1] < 0.5

    def build(self, seed: int) -> Genomes:
        """[count, V], ids sim0000001, ..; person i is the same for every count. 88 or 112 B a person.

        SNPs are independent within a super-population, which real ones are not; correlations between
        phenotypes are therefore weaker than in real people.
        """
        log_p = np.empty((self.count, self.phenotypes().width))
        for first in range(0, self.count, hirisplex.BLOCK):
            # Always a whole block: the last digits of a matrix product may depend on the number of rows.
            dosages, male = self.genotypes(seed, first, first + hirisplex.BLOCK)
            block = hirisplex.log_p(dosages, male, self.schema_)
            log_p[first : first + hirisplex.BLOCK] = block[: self.count - first]
        return Genomes(self.phenotypes(), numbered("sim", self.count), log_p)
