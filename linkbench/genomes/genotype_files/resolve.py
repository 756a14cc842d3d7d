"""From the lines about a SNP to its dosage, or to the reason why there is none."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

from linkbench.genomes.genotype_files.scan import Alleles, Scan, Sighting
from linkbench.genomes.genotype_files.snps import BUILDS, COMPLEMENT, Build, Snp, table
from linkbench.genomes.table_files import fault

Absent = Literal["unknown", "reference"]

Status = Literal[
    "read",
    "reversed",
    "reference",
    "absent",
    "no-call",
    "other-allele",
    "other-place",
    "contradictory",
    "haploid",
    "strand",
    "unknown-base",
]

MEANING: dict[Status, str] = {
    "read": "read",
    "reversed": "read, written on the reverse strand",
    "reference": "not listed, taken as the reference",
    "absent": "not in the file",
    "no-call": "in the file, without a call",
    "other-allele": "another allele than the known two",
    "other-place": "at another position than this build has it",
    "contradictory": "two lines contradict each other",
    "haploid": "not two alleles",
    "strand": "the letters do not tell the strand",
    "unknown-base": "inside a block of reference whose base is not certain in this build",
}

FORWARD = 5
"""Other SNPs on the forward strand, none on the reverse, from which on A/T and C/G are read as forward too."""


class Call(NamedTuple):
    """One SNP: copies of its counted allele (None: unknown), the genotype on the forward strand, and where it stood."""

    status: Status
    dosage: int | None = None
    genotype: str = ""
    line: int | None = None
    note: str = ""


def resolve(path: Path, scan: Scan, sample: int, build: Build | None, *, vcf: bool, absent: Absent) -> tuple[Call, ...]:
    """A call for each SNP of the table. Raises InputError where REF is not the base that this build has there."""
    about = _usable(scan, build)
    if vcf:
        _check_reference(path, scan, about, build)
    strands = [_strands(table()[number], found, sample) for number, found in about.items()]
    forward = strands.count("forward") >= FORWARD and "reverse" not in strands
    elsewhere = {sighting.snp for sighting in scan.sightings if sighting.named}
    out = []
    for number, snp in enumerate(table()):
        if number in about:
            found = {sighting: scan.sightings[sighting] for sighting in about[number]}
            out.append(_call(snp, found, sample, build, forward or vcf, vcf))
        elif number in elsewhere:
            out.append(Call("other-place"))
        elif vcf and absent == "reference" and snp.chrom in scan.chromosomes and build is not None:
            out.append(_read(snp, ("=", "="), "reference", build))
        else:
            out.append(Call("absent"))
    return tuple(out)


def _usable(scan: Scan, build: Build | None) -> dict[int, list[Sighting]]:
    """By SNP, the lines that stand where the build has it, or that name it and give no position."""
    out: dict[int, list[Sighting]] = defaultdict(list)
    for sighting in scan.sightings:
        if build in sighting.builds or (sighting.named and (build is None or not sighting.placed)):
            out[sighting.snp].append(sighting)
    return out


def _check_reference(path: Path, scan: Scan, about: dict[int, list[Sighting]], build: Build | None) -> None:
    for number, found in sorted(about.items()):
        snp = table()[number]
        for sighting in found:
            if sighting.base is None or sighting.base in (snp.ref, snp.alt):
                continue
            name = BUILDS[build] if build is not None else "every build"
            what = f"REF is {sighting.base} at {snp.rsid}, where {name} has {snp.ref} (the other allele is {snp.alt})"
            if COMPLEMENT.get(sighting.base) in (snp.ref, snp.alt):
                fix = "The file seems to be written on the reverse strand. Fix its strand (bcftools +fixref)"
            else:
                fix = "The file is of another build than its positions say. Give one of build 36, 37 or 38"
            raise fault(path, f"{what}. {fix}", scan.sightings[sighting])


def _strands(snp: Snp, found: list[Sighting], sample: int) -> str:
    """The strand that one SNP tells of."""
    alleles = [allele for sighting in found for allele in sighting.calls[sample]]
    return snp.strand(alleles) if alleles and not snp.palindromic else "either"


def _call(snp: Snp, found: dict[Sighting, int], sample: int, build: Build | None, forward: bool, vcf: bool) -> Call:
    """One SNP from the lines about it."""
    called = {sighting: line for sighting, line in found.items() if sighting.calls[sample]}
    if not called:
        return Call("no-call", line=min(found.values()))
    best = max(_rank(sighting, sample) for sighting in called)
    calls = {}
    for sighting, line in called.items():
        call = _one(snp, sighting.calls[sample], build, forward, vcf)._replace(line=line, note=sighting.note)
        if vcf and call.status == "other-allele":
            return call  # alternatives may be split over records: none of the others can say what the genotype is
        if _rank(sighting, sample) == best:
            calls[call.status, call.dosage, call.genotype] = call
    first = min(calls.values(), key=lambda call: call.line or 0)
    if len(calls) > 1:
        lines = ", ".join(str(call.line) for call in calls.values())
        return Call("contradictory", line=first.line, note=f"lines {lines}")
    return first


def _rank(sighting: Sighting, sample: int) -> tuple[bool, ...]:
    """How much a line has to say: the SNP's own record more than another at its place, that more than a block."""
    own = sighting.named if sighting.base is None else sighting.sound is True
    return "=" not in sighting.calls[sample], own


def _one(snp: Snp, alleles: Alleles, build: Build | None, forward: bool, vcf: bool) -> Call:
    if "?" in alleles:
        return Call("other-allele")
    if len(alleles) != 2:
        return Call("haploid", genotype="/".join(alleles))
    if "=" in alleles:
        return _read(snp, alleles, "read", build)
    strand = "forward" if vcf else snp.strand(alleles)
    if strand == "either" and alleles[0] == alleles[1] and not forward:
        return Call("strand", genotype="/".join(alleles))
    if strand == "reverse":
        return _read(snp, tuple(COMPLEMENT[allele] for allele in alleles), "reversed", build)
    return _read(snp, alleles, "read", build) if strand != "neither" else Call("other-allele", None, "/".join(alleles))


def _read(snp: Snp, alleles: Alleles, status: Status, build: Build | None) -> Call:
    base = snp.reference(build) if build is not None else None
    if "=" in alleles and base is None:
        return Call("unknown-base")
    letters = tuple(base if allele == "=" and base is not None else allele for allele in alleles)
    if not set(letters) <= {snp.ref, snp.alt}:
        return Call("other-allele", genotype="/".join(letters))
    order = sorted(letters, key=(snp.ref, snp.alt).index)
    return Call(status, letters.count(snp.counted), "/".join(order))
