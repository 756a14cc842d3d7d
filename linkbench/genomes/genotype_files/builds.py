"""Which assembly the positions of a file are of, from where its known SNPs stand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from linkbench.genomes.genotype_files.formats import Head
from linkbench.genomes.genotype_files.scan import Scan, Sighting
from linkbench.genomes.genotype_files.snps import BUILDS, Build, table
from linkbench.genomes.table_files import fault

MIXED = 3
"""SNPs at the positions of a second build from which on a file counts as mixed."""


class Found(NamedTuple):
    """The build, None where a file gives no positions; why; and what else should be known."""

    build: Build | None
    evidence: str
    notes: tuple[str, ...] = ()


def find_build(path: Path, head: Head, scan: Scan, given: Build | None) -> Found:
    """The build. Raises InputError where positions fit none, or more than one, or not the one that is given."""
    votes = {build: _votes(scan, build) for build in BUILDS}
    if not any(votes.values()):
        return _without_votes(path, head, scan, given)
    best = max(BUILDS, key=lambda build: (len(votes[build]), build == given, build == head.build, build == 37))
    if given is not None and given != best:
        what = f"its known SNPs stand where {BUILDS[best]} has them ({_rsids(votes[best])}), not {BUILDS[given]}"
        raise fault(path, f"{what}. Leave the assembly out, or give {best}")
    for other in BUILDS:
        strays = votes[other] - votes[best]
        if len(strays) >= max(MIXED, len(votes[best]) / 5):
            what = f"positions are mixed: {_rsids(votes[best])} stand where {BUILDS[best]} has them, {_rsids(strays)} "
            raise fault(path, f"{what}where {BUILDS[other]} has them. Convert the file to one build")
    placed = {sighting.snp for sighting in scan.sightings if sighting.named and sighting.placed}
    if len(placed - votes[best]) > len(votes[best]):
        raise _wrong(path, scan, placed - votes[best])
    notes: tuple[str, ...] = ()
    if head.build not in (None, best):
        notes = (f"the head of the file names {BUILDS[head.build]}, its positions are those of {BUILDS[best]}",)
    count = len(votes[best])
    return Found(best, f"{count} known SNP{'s' * (count != 1)} at {'their' if count != 1 else 'its'} position", notes)


def _votes(scan: Scan, build: Build) -> set[int]:
    """SNPs that stand at their position of a build: by their rsID, or by both alleles in REF and ALT."""
    return {
        sighting.snp
        for sighting in scan.sightings
        if build in sighting.builds
        and sighting.sound is not False
        and (sighting.named or (sighting.sound and sighting.base is not None))
    }


def _without_votes(path: Path, head: Head, scan: Scan, given: Build | None) -> Found:
    placed = {sighting.snp for sighting in scan.sightings if sighting.named and sighting.placed}
    if placed:
        raise _wrong(path, scan, placed)
    if given is not None:
        return Found(given, "as given")
    if head.build is not None:
        return Found(head.build, "the head of the file names it")
    if any(sighting.builds for sighting in scan.sightings):
        what = "nothing tells which build its positions are of: no known SNP is named, and the head does not say"
        raise fault(path, f"{what}. Give it with --assembly 36, 37 or 38 (parameter `assembly`)")
    return Found(None, "no positions; SNPs are found by their rsID")


def _wrong(path: Path, scan: Scan, strays: set[int]) -> Exception:
    """The error for rsIDs that stand where no build has them."""
    example: tuple[int, Sighting] = min(
        (line, sighting) for sighting, line in scan.sightings.items() if sighting.named and sighting.snp in strays
    )
    line, snp = example[0], table()[example[1].snp]
    places = ", ".join(f"{snp.chrom}:{position} in {BUILDS[build]}" for build, position in snp.positions.items())
    what = f"the positions are of none of the builds 36, 37 and 38: {snp.rsid} should stand at {places}"
    return fault(path, f"{what}. Give the file in one of these builds", line)


def _rsids(numbers: set[int]) -> str:
    names = [table()[number].rsid for number in sorted(numbers)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
