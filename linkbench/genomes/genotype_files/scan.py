"""What the lines of a genotype file say about the 41 SNPs and about sex, before it is known which build it is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from linkbench.genomes.genotype_files.snps import BUILDS, INSERTION, INSERTION_RUN, Build, table
from linkbench.genomes.table_files import fault

Alleles = tuple[str, ...]
"""The alleles of a genotype as letters: two, one where a call is haploid, none where there is no call.

`=` is the base of the assembly, inside a block of reference; `?` is something that is neither allele.
"""

MANY = 50
"""Different lines about one SNP that are kept; a sane file has one or two."""


class Sighting(NamedTuple):
    """One line about one SNP.

    snp: number in the table; named: by its rsID; builds: those in which it stands at the line's position; placed:
    whether the line gives a position at all; calls: of each sample that is read; sound: True where the letters fit
    the SNP's, False where they do not (in a VCF file: those of REF), None where they tell nothing; base: REF at the
    SNP, None where there is none; note: what else should be known.
    """

    snp: int
    named: bool
    builds: frozenset[Build]
    placed: bool
    calls: tuple[Alleles, ...]
    sound: bool | None
    base: str | None
    note: str


class Sex(NamedTuple):
    """What one sample shows on X and Y: calls on X outside the regions shared with Y, heterozygous ones, lines and
    calls on Y."""

    x: int
    het: int
    y_lines: int
    y: int


class Scan(NamedTuple):
    """All that was found. sightings: with the number of the first such line; lines: genotypes read; chromosomes:
    those that have lines."""

    sightings: dict[Sighting, int]
    sex: list[Sex]
    lines: int
    chromosomes: frozenset[str]


class Collector:
    """Keeps sightings, each different one once, within a bound."""

    def __init__(self) -> None:
        self.found: dict[Sighting, int] = {}
        self._count = [0] * len(table())

    def add(self, path: Path, line: int, sighting: Sighting) -> None:
        """Keep it. Raises InputError where there are too many different ones of this SNP already."""
        if sighting in self.found:
            return
        if self._count[sighting.snp] == MANY:
            what = f"more than {MANY} different lines are about {table()[sighting.snp].rsid}"
            raise fault(path, f"{what}. A file must give each SNP once, in one build", line)
        self._count[sighting.snp] += 1
        self.found[sighting] = line


@cache
def places() -> dict[tuple[str, int], tuple[tuple[int, Build], ...]]:
    """(number of the SNP, build) of all that stand at (chromosome, position)."""
    out: dict[tuple[str, int], tuple[tuple[int, Build], ...]] = {}
    for number, snp in enumerate(table()):
        for build in BUILDS:
            for shift in range(1 + (INSERTION_RUN if snp.rsid == INSERTION else 0)):
                place = (snp.chrom, snp.positions[build] + shift)
                out[place] = (*out.get(place, ()), (number, build))
    return out
