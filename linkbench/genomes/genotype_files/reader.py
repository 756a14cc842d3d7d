"""A person's genotype file, read: dosages of the SNPs of HIrisPlex-S, sex, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.errors import InputError
from linkbench.genomes.genotype_files import snps
from linkbench.genomes.genotype_files.builds import Found, find_build
from linkbench.genomes.genotype_files.chip import read_chip
from linkbench.genomes.genotype_files.formats import Form, Head, read_head
from linkbench.genomes.genotype_files.resolve import MEANING, Absent, Call, resolve
from linkbench.genomes.genotype_files.scan import Scan
from linkbench.genomes.genotype_files.sex import Told, tell_sex
from linkbench.genomes.genotype_files.snps import BUILDS, Build
from linkbench.genomes.genotype_files.stream import Packing, open_lines
from linkbench.genomes.genotype_files.vcf import read_vcf
from linkbench.genomes.table_files import fault, nearest


class Genotypes(NamedTuple):
    """One person. calls: one for each SNP of `snps.table()`; sample: the name in a VCF file, else nothing;
    of_several: whether the file holds more people."""

    path: Path
    form: Form
    packing: Packing
    sample: str
    of_several: bool
    lines: int
    build: Found
    sex: Told
    calls: tuple[Call, ...]
    notes: tuple[str, ...]

    @property
    def dosages(self) -> Array:
        """float64 [S], NaN where unknown; columns are `hirisplex.model().snps`."""
        found = [self.calls[number].dosage for number in snps.in_model()]
        return np.array([np.nan if dosage is None else dosage for dosage in found], dtype=np.float64)


def read(path: Path, sample: str | None = None, build: Build | None = None, absent: Absent = "unknown") -> Genotypes:
    """The one person of a file, or the sample that is named. Raises InputError that says what is wrong.

    absent: what SNPs are that a VCF file does not list; `reference` where it lists every variant of a whole genome.
    """
    return _read(path, sample, build, absent, everybody=False)[0]


def read_all(path: Path, build: Build | None = None, absent: Absent = "unknown") -> list[Genotypes]:
    """Everybody in a file. Raises InputError."""
    return _read(path, None, build, absent, everybody=True)


def _read(path: Path, sample: str | None, build: Build | None, absent: Absent, *, everybody: bool) -> list[Genotypes]:
    with open_lines(path) as lines:
        head = read_head(lines)
        chosen = _chosen(path, head, sample, everybody=everybody)
        scan = read_vcf(lines, head, chosen) if head.form == "VCF" else read_chip(lines, head)
        packing, cut_short = lines.packing, lines.cut_short
    if not scan.sightings and not (absent == "reference" and head.form == "VCF"):
        raise fault(
            path, f"none of the 41 SNPs of HIrisPlex-S is in its {scan.lines:,} lines. {_NONE[head.form == 'VCF']}"
        )
    found = find_build(path, head, scan, build)
    notes = (*found.notes, *_notes(head, scan, cut_short=cut_short))
    people = []
    for place, number in enumerate(chosen):
        calls = resolve(path, scan, place, found.build, vcf=head.form == "VCF", absent=absent)
        name = head.samples[number] if head.samples else ""
        if all(call.dosage is None for call in calls):
            reasons = ", ".join(sorted({MEANING[call.status] for call in calls}))
            raise fault(path, f"none of the 41 SNPs of HIrisPlex-S can be read{f' of {name}' * bool(name)} ({reasons})")
        sex = tell_sex(scan.sex[place], vcf=head.form == "VCF")
        own = (*notes, *_own_notes(head, calls))
        people.append(
            Genotypes(path, head.form, packing, name, len(head.samples) > 1, scan.lines, found, sex, calls, own)
        )
    return people


_NONE = (
    "Is it the raw data of a chip, and whole?",
    "A VCF file of an exome or of one chromosome may lack them; a file of variants alone lists only differences from "
    "the reference (--absent reference)",
)


def _chosen(path: Path, head: Head, sample: str | None, *, everybody: bool) -> tuple[int, ...]:
    """Numbers of the samples to read; (0,) for a chip."""
    if not head.samples:
        if sample is not None:
            raise InputError(f"{path}: a {head.form} file is of one person. Leave out the sample {sample!r}")
        return (0,)
    names = ", ".join(head.samples[:20]) + (f" and {len(head.samples) - 20} more" if len(head.samples) > 20 else "")
    if sample is not None:
        if sample not in head.samples:
            raise fault(path, f"there is no sample {sample!r}{nearest(sample, head.samples)}. There are: {names}")
        return (head.samples.index(sample),)
    if len(head.samples) > 1 and not everybody:
        raise fault(path, f"the file holds {len(head.samples):,} people. Choose one with --sample: {names}")
    return tuple(range(len(head.samples)))


def _notes(head: Head, scan: Scan, *, cut_short: bool) -> list[str]:
    """What should be known of the file as a whole."""
    notes = []
    if cut_short:
        notes.append("the mark at the end of the packed file is missing: it may be cut off, and SNPs may be lost")
    needed = {snp.chrom for snp in snps.table()}
    if gone := sorted(needed - scan.chromosomes, key=int):
        notes.append(f"nothing is on chromosome{'s' * (len(gone) > 1)} {', '.join(gone)}: is the file whole?")
    return notes


def _own_notes(head: Head, calls: tuple[Call, ...]) -> list[str]:
    """What should be known of one person's calls."""
    notes = []
    reverse = [snp.rsid for snp, call in zip(snps.table(), calls, strict=True) if call.status == "reversed"]
    if reverse:
        notes.append(f"written on the reverse strand, and turned: {', '.join(reverse)}")
    filtered = sum(call.note.startswith("filter ") for call in calls if call.dosage is not None)
    if filtered:
        notes.append(
            f"{filtered} SNP{'s' * (filtered > 1)} did not pass the file's own filters and were read all the same"
        )
    lost = sum(call.status == "absent" for call in calls)
    if head.form == "VCF" and lost > 10:
        notes.append(
            f"{lost} SNPs are not listed. If the file lists every variant of a whole genome, and only those, they are "
            "the reference: --absent reference"
        )
    return notes


def build_name(build: Build | None) -> str:
    """GRCh37 (hg19) and the like."""
    return BUILDS[build] if build is not None else "unknown"
