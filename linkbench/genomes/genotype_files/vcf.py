"""VCF files, also gVCF: the records that say something about the 41 SNPs (VCF specification 4.3 and 4.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from linkbench.genomes.genotype_files import scan, snps
from linkbench.genomes.genotype_files.formats import Head
from linkbench.genomes.genotype_files.record import end_of, genotype, read_record, shown, sighting
from linkbench.genomes.genotype_files.scan import Collector, Scan, Sex
from linkbench.genomes.genotype_files.snps import Build
from linkbench.genomes.genotype_files.stream import Lines
from linkbench.genomes.table_files import fault

REACH = 64
"""Bases before a SNP at which a longer record that covers it may start; blocks of reference may start anywhere."""

SEX_LINES = 20_000
"""Records of X, and of Y, that are looked at to tell sex."""


def read_vcf(lines: Lines, head: Head, samples: Sequence[int]) -> Scan:
    """One pass over the records; samples: numbers of those to read. Raises InputError at the first bad record."""
    near, chromosomes, identifiers = _near(), _chromosomes(), snps.by_id()
    tabs = head.width - 1
    collector, sex = Collector(), _SexCount(len(samples))
    seen: set[bytes] = set()
    name, kind = b"", ""
    total = 0
    for number, block in lines:
        total += len(block)
        for place, line in enumerate(block):
            cells = line.split(b"\t", 3)
            if line.count(b"\t") != tabs:
                total -= 1
                _refuse(lines.path, number + place, line, head)
                continue
            if cells[0] != name:
                name, kind = cells[0], chromosomes.get(cells[0], "")
                if len(seen) < 10_000:
                    seen.add(name)
            if kind in ("X", "Y"):
                sex.add(kind, cells[1], line, samples)
            elif cells[1] in near or cells[2] in identifiers or b";rs" in cells[2] or (kind and b"END=" in line):
                _collect(lines.path, collector, number + place, kind, line, samples)
    if total == 0:
        raise fault(lines.path, "there are no records below the head. Is the file cut off?")
    return Scan(collector.found, sex.result(), total, frozenset(map(snps.chromosome, seen)) - {""})


@cache
def _near() -> frozenset[bytes]:
    """Positions, as written, at which a record about some SNP may start."""
    return frozenset(b"%d" % at for _, place in scan.places() for at in range(place - REACH, place + 1))


@cache
def _chromosomes() -> dict[bytes, str]:
    """Names of the chromosomes that hold SNPs of the model, and of X and Y."""
    used = {snp.chrom for snp in snps.table()} | {"X", "Y"}
    names = [f"{before}{name}" for name in used for before in ("", "chr", "CHR", "Chr")] + ["23", "24"]
    names += [f"NC_{number:06d}.{version}" for number in range(1, 25) for version in range(1, 20)]
    found = {name.encode(): snps.chromosome(name.encode()) for name in names}
    return {name: kind for name, kind in found.items() if kind in used}


@cache
def _targets() -> dict[str, list[tuple[int, int, Build]]]:
    """(position, SNP, build) of each chromosome, in order."""
    out: dict[str, list[tuple[int, int, Build]]] = defaultdict(list)
    for number, snp in enumerate(snps.table()):
        for build, position in snp.positions.items():
            out[snp.chrom].append((position, number, build))
    return {chrom: sorted(places) for chrom, places in out.items()}


@cache
def _spots() -> dict[str, list[int]]:
    """The positions of `_targets` alone."""
    return {chrom: [position for position, _, _ in places] for chrom, places in _targets().items()}


def _refuse(path: Path, number: int, line: bytes, head: Head) -> None:
    """Raises InputError unless the line is blank."""
    if line.strip():
        found = line.count(b"\t") + 1
        what = f"found {found} column{'s' * (found != 1)}, but the head names {head.width}"
        raise fault(path, f"{what}. The file is cut off or damaged: copy or download it again", number)


def _collect(path: Path, collector: Collector, number: int, chrom: str, line: bytes, samples: Sequence[int]) -> None:
    """Add what a record says about any SNP."""
    cells = line.split(b"\t", 8)
    if not cells[1].isdigit() or len(cells[1]) > 10:
        raise fault(path, f"POS must be a whole number, found {shown(cells[1])}. The file is damaged", number)
    start = int(cells[1])
    end = max(start + len(cells[3]) - 1, end_of(cells[7]) if b"<" in cells[4] or cells[4] == b"." else 0)
    spots = _spots().get(chrom, [])
    first = bisect_left(spots, start - snps.INSERTION_RUN)
    if (first == len(spots) or spots[first] > end) and b"rs" not in cells[2]:
        return  # most blocks of reference end here
    ids = tuple(text.decode("ascii", "replace") for text in cells[2][:10_000].split(b";"))
    about = _about(chrom, start, end, ids)
    if not about:
        return
    record = read_record(path, number, line, samples, start, end, ids)
    for snp in sorted(about):
        # the builds of one SNP may lie at different offsets in one long block
        by_offset: dict[int, set[Build]] = defaultdict(set)
        for build in about[snp]:
            by_offset[snps.table()[snp].positions[build] - start].add(build)
        for offset, builds in by_offset.items() or [(-1, set[Build]())]:
            found = sighting(record, snp, offset, frozenset(builds))
            if found is not None:
                collector.add(path, number, found)


def _about(chrom: str, start: int, end: int, ids: tuple[str, ...]) -> dict[int, set[Build]]:
    """SNPs that a record lies over, in which builds; with none, those that it names."""
    out: dict[int, set[Build]] = defaultdict(set)
    first = bisect_left(_spots().get(chrom, []), start - snps.INSERTION_RUN)
    for position, snp, build in _targets().get(chrom, [])[first:]:
        if position > end:
            break
        reach = snps.INSERTION_RUN if snps.table()[snp].rsid == snps.INSERTION else 0
        if position >= start - reach:
            out[snp].add(build)
    for text in ids:
        if text.encode() in snps.by_id():
            out.setdefault(snps.by_id()[text.encode()], set())
    return out


class _SexCount:
    def __init__(self, samples: int) -> None:
        self._counts = [[0, 0, 0, 0] for _ in range(samples)]
        self._lines = {"X": 0, "Y": 0}

    def add(self, chromosome: str, position: bytes, line: bytes, samples: Sequence[int]) -> None:
        """Count the genotypes of one record; on X only those that have an allele other than the reference."""
        if self._lines[chromosome] >= SEX_LINES or not position.isdigit() or len(position) > 10:
            return
        if chromosome == "X" and snps.par(int(position)):
            return
        self._lines[chromosome] += 1
        cells = line.split(b"\t")
        keys = cells[8][:1000].split(b":")
        if b"GT" not in keys:
            return
        at = keys.index(b"GT")
        for counts, sample in zip(self._counts, samples, strict=True):
            values = cells[9 + sample].split(b":", at + 1)
            call = genotype(values[at] if at < len(values) else b".") or ()
            if chromosome == "Y":
                counts[2] += 1
                counts[3] += any(call)
            elif any(call):
                counts[0] += 1
                counts[1] += len(set(call)) > 1

    def result(self) -> list[Sex]:
        return [Sex(*counts) for counts in self._counts]
