"""Female or male, from what a file shows on X and Y."""

from __future__ import annotations

from typing import Literal, NamedTuple

from linkbench.genomes.genotype_files.scan import Sex

LEAST_X, LEAST_Y = 100, 20
"""Calls on X, and lines on Y, without which they say nothing."""

Name = Literal["female", "male"]


class Told(NamedTuple):
    """Sex, None where the file does not tell, and why."""

    sex: Name | None
    evidence: str


def tell_sex(counts: Sex, *, vcf: bool) -> Told:
    """Sex of one sample.

    X outside the regions shared with Y is heterozygous nowhere in males, but for a few errors. Of a chip's SNPs about
    a quarter are in females; of the genotypes that are not reference in a VCF file about half. Y has calls in males
    alone; a file without Y says nothing by that.
    """
    low, high = (0.1, 0.25) if vcf else (0.02, 0.08)
    words, votes = [], set[Name]()
    if counts.x >= LEAST_X:
        share = counts.het / counts.x
        words.append(f"X is heterozygous at {share:.1%} of {counts.x:,} {'variants' if vcf else 'calls'}")
        if share <= low:
            votes.add("male")
        elif share >= high:
            votes.add("female")
    if counts.y_lines >= LEAST_Y:
        share = counts.y / counts.y_lines
        words.append(f"Y has {'variants' if vcf else 'calls'} at {share:.0%} of {counts.y_lines:,} lines")
        if (vcf and counts.y >= LEAST_Y) or (not vcf and share >= 0.4):
            votes.add("male")
        elif counts.y == 0 or (not vcf and share <= 0.2):
            votes.add("female")
    if len(votes) == 1:
        return Told(votes.pop(), "; ".join(words))
    if not words:
        return Told(None, "the file has too little of X and Y")
    return Told(None, "; ".join(words) + (": these contradict each other" if votes else ": not clear"))
