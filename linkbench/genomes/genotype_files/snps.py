"""The 41 SNPs of HIrisPlex-S: where they stand in three assemblies, and how a genotype becomes a dosage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from linkbench.genomes import hirisplex, shipped

Build = Literal[36, 37, 38]

BUILDS: dict[Build, str] = {36: "NCBI36 (hg18)", 37: "GRCh37 (hg19)", 38: "GRCh38 (hg38)"}

INSERTION = "rs312262906"
"""The one SNP that is none: an A inserted in a run of A's, so that its position depends on the way of writing it."""

INSERTION_RUN = 3
"""Bases after the position of INSERTION before which the same insertion can be written: C^A^A^C."""

COMPLEMENT = {"A": "T", "T": "A", "C": "G", "G": "C"}


class Snp(NamedTuple):
    """One SNP. Alleles on the forward strand; ref is the base of GRCh37; counted: the allele that a dosage counts."""

    rsid: str
    chrom: str
    positions: dict[Build, int]
    ref: str
    alt: str
    counted: str

    @property
    def palindromic(self) -> bool:
        """Whether both strands have the same two letters, so that the letters do not tell the strand."""
        return COMPLEMENT.get(self.ref) == self.alt

    def reference(self, build: Build) -> str | None:
        """The base of the assembly; None where it is not certain.

        GRCh38 differs from GRCh37 in single bases only where that of GRCh37 was an error or next to never seen in
        people (Schneider et al. 2017, doi:10.1101/gr.213611.116); NCBI36 is taken alike. Of the 41, one can differ.
        """
        if build != 37 and self.rsid == RARE_REFERENCE:
            return None
        return self.ref

    def strand(self, alleles: Sequence[str]) -> Literal["forward", "reverse", "either", "neither"]:
        """On which strand these letters can have been read."""
        forward = all(allele in (self.ref, self.alt) for allele in alleles)
        reverse = all(COMPLEMENT.get(allele) in (self.ref, self.alt) for allele in alleles)
        if forward and reverse:
            return "either"
        return "forward" if forward else "reverse" if reverse else "neither"


RARE_REFERENCE = "rs6059655"
"""Its base in GRCh37 has a frequency of 0.013."""


@cache
def table() -> tuple[Snp, ...]:
    """The 41 SNPs: those of `hirisplex.model()` in its order, with rs6119471, which has no coefficient, among them."""
    return tuple(
        Snp(
            row["rsid"],
            row["chrom"],
            {36: int(row["b36"]), 37: int(row["b37"]), 38: int(row["b38"])},
            row["ref"],
            row["alt"],
            row["counted"],
        )
        for row in shipped.rows("snp_positions.csv")
    )


@cache
def by_id() -> dict[bytes, int]:
    """Number in the table by rsID."""
    return {snp.rsid.encode(): number for number, snp in enumerate(table())}


@cache
def in_model() -> tuple[int, ...]:
    """Numbers in the table of the model's SNPs, in the order of `hirisplex.model().snps`."""
    numbers = {snp.rsid: number for number, snp in enumerate(table())}
    return tuple(numbers[rsid] for rsid in hirisplex.model().snps)


def chromosome(name: bytes) -> str:
    """1 to 22, X, Y, XY (both have it), MT, or nothing if it is none of them; from chr1, 1, 23, M, NC_000001.11 ...."""
    text = name.decode("ascii", "replace").strip()
    if match := _ACCESSION.fullmatch(text):
        text = match.group(1)
    text = text[3:] if text[:3].lower() == "chr" else text
    return _CHROMOSOMES.get(text.upper(), "")


_ACCESSION = re.compile(r"NC_0000([0-9]{2})\.[0-9]+")
_CHROMOSOMES = {str(number): str(number) for number in range(1, 23)}
_CHROMOSOMES |= {f"0{number}": str(number) for number in range(1, 10)}
_CHROMOSOMES |= {
    "X": "X",
    "23": "X",
    "Y": "Y",
    "24": "Y",
    "XY": "XY",
    "PAR": "XY",
    "25": "XY",
    "MT": "MT",
    "M": "MT",
    "26": "MT",
}


def par(position: int) -> bool:
    """Whether a position of X is in, or near, the regions that X and Y share, in any of the builds."""
    return position < 2_800_000 or position > 154_500_000
