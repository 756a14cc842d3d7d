"""VCF files, also gVCF: the records that say something about the 41 SNPs (VCF specification 4.3 and 4.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from linkbench.genomes.genotype_files import scan, snps
from linkbench.genomes.genotype_files.formats import Head
from linkbench.genomes.genotype_files.scan import Collector, Scan, Sex, Sighting
from linkbench.genomes.genotype_files.snps import Build, Snp
from linkbench.genomes.genotype_files.stream import Lines
from linkbench.genomes.table_files import fault

REACH = 64
"""Bases before a SNP at which a longer record that covers it may start; blocks of reference may start anywhere."""

SEX_LINES = 20_000
"""Records of X, and of Y, that are looked at to tell sex."""

_REFERENCE = ("<NON_REF>", "<*>", ".")  # alternatives that stand for none, or for any other


class Record(NamedTuple):
    """One record: first and last position, alleles (reference first), and the genotypes of the samples read."""

    line: int
    start: int
    end: int
    ids: tuple[str, ...]
    alleles: tuple[str, ...]
    calls: tuple[tuple[int, ...], ...]
    note: str

    @property
    def plain(self) -> bool:
        """Whether no alternative is named: a record, or a block, of reference."""
        return all(allele in _REFERENCE for allele in self.alleles[1:])


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
    return {name.encode(): snps.chromosome(name.encode()) for name in names}


@cache
def _targets() -> dict[str, list[tuple[int, int, Build]]]:
    """(position, SNP, build) of each chromosome, in order."""
    out: dict[str, list[tuple[int, int, Build]]] = defaultdict(list)
    for number, snp in enumerate(snps.table()):
        for build, position in snp.positions.items():
            out[snp.chrom].append((position, number, build))
    return {chrom: sorted(places) for chrom, places in out.items()}


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
        raise fault(path, f"POS must be a whole number, found {_shown(cells[1])}. The file is damaged", number)
    start = int(cells[1])
    end = max(start + len(cells[3]) - 1, _end(cells[7]) if b"<" in cells[4] or cells[4] == b"." else 0)
    ids = tuple(text.decode("ascii", "replace") for text in cells[2].split(b";"))
    about: dict[int, set[Build]] = defaultdict(set)
    targets = _targets().get(chrom, [])
    for position, snp, build in targets[bisect_left(targets, (start - snps.INSERTION_RUN, 0, 36)) :]:
        if position > end:
            break
        reach = snps.INSERTION_RUN if snps.table()[snp].rsid == snps.INSERTION else 0
        if position >= start - reach:
            about[snp].add(build)
    for text in ids:
        if text.encode() in snps.by_id():
            about.setdefault(snps.by_id()[text.encode()], set())
    if not about:
        return
    record = _record(path, number, line, samples, start, end, ids)
    for snp in sorted(about):
        # the builds of one SNP may lie at different offsets in one long block
        by_offset: dict[int, set[Build]] = defaultdict(set)
        for build in about[snp]:
            by_offset[snps.table()[snp].positions[build] - start].add(build)
        for offset, builds in by_offset.items() or [(-1, set[Build]())]:
            sighting = _sighting(record, snp, offset, frozenset(builds))
            if sighting is not None and not collector.add(sighting, number):
                what = f"more than {scan.MANY} different records are about {snps.table()[snp].rsid}"
                raise fault(path, f"{what}. Positions must be of one assembly, each once", number)


def _end(info: bytes) -> int:
    """END of the INFO column, 0 where it has none."""
    for entry in info.split(b";"):
        if entry.startswith(b"END=") and entry[4:].isdigit() and len(entry) < 16:
            return int(entry[4:])
    return 0


def _record(
    path: Path, number: int, line: bytes, samples: Sequence[int], start: int, end: int, ids: tuple[str, ...]
) -> Record:
    """The record with its genotypes. Raises InputError where it breaks the format."""
    cells = line.split(b"\t")
    reference = cells[3].decode("ascii", "replace").upper()
    if not reference or set(reference) - set("ACGTN.MRWSYKVHDB"):
        raise fault(path, f"REF must be bases, found {_shown(cells[3])}. The file is damaged", number)
    alleles = (reference, *(text.decode("ascii", "replace").upper() for text in cells[4].split(b",")))
    keys = cells[8].split(b":")
    if b"GT" not in keys:
        raise fault(path, "this record has no genotype: FORMAT lacks GT. Give a file with genotypes", number)
    at = keys.index(b"GT")
    calls = []
    for sample in samples:
        values = cells[9 + sample].split(b":", at + 1)
        call = genotype(values[at] if at < len(values) else b".")
        if call is None or any(index >= len(alleles) for index in call):
            shown = _shown(values[at])
            raise fault(
                path, f"found genotype {shown}, with {len(alleles)} alleles in REF and ALT. The file is damaged", number
            )
        calls.append(call)
    passed = cells[6] in (b"PASS", b".", b"")
    note = "" if passed else f"filter {cells[6][:40].decode('ascii', 'replace')}"
    return Record(number, start, end, ids, alleles, tuple(calls), note)


def genotype(text: bytes) -> tuple[int, ...] | None:
    """Numbers of the alleles: (0, 1) of 0/1 or 1|0; () where a part is missing; None if it is not a genotype."""
    out: list[int] = []
    missing = False
    for part in text.removeprefix(b"|").removeprefix(b"/").replace(b"|", b"/").split(b"/"):
        if part.isdigit() and len(part) < 5:
            out.append(int(part))
        elif part == b".":
            missing = True
        else:
            return None
    return () if missing else tuple(sorted(out))


def _sighting(record: Record, number: int, offset: int, builds: frozenset[Build]) -> Sighting | None:
    """What a record says of one SNP that lies `offset` bases behind its start; None if it says nothing."""
    snp = snps.table()[number]
    named = snp.rsid in record.ids
    letters = _insertion(record, offset, snp) if snp.rsid == snps.INSERTION else _letters(record, max(offset, 0))
    if letters is None:
        return None
    calls = tuple(tuple(letters[index] for index in call) for call in record.calls)
    base = letters[0] if letters[0] != "=" else None
    sound = None
    if base is not None and base not in (snp.ref, snp.alt):
        sound = False
    elif base is not None and not record.plain:
        sound = {letter for letter in letters if letter != "?"} == {snp.ref, snp.alt} or None
    return Sighting(number, named, builds, True, calls, sound, base, record.note)


def _letters(record: Record, offset: int) -> tuple[str, ...] | None:
    """What each allele has at one base: a letter, `=` for the reference's inside a block, `?` for anything else.

    None for a record that is about something else: an insertion or deletion that starts at this base.
    """
    reference = record.alleles[0]
    if record.plain:
        return (reference[offset] if offset < len(reference) else "=", *("?" for _ in record.alleles[1:]))
    if offset >= len(reference):
        return None  # a structural variant that lies over it
    same = [allele for allele in record.alleles[1:] if len(allele) == len(reference) and allele[0] in "ACGT"]
    if not same:
        return None
    out = [reference[offset]]
    for allele in record.alleles[1:]:
        if allele in same:
            out.append(allele[offset])
        else:
            out.append(reference[0] if offset == 0 and allele.startswith(reference[0]) else "?")
    return tuple(out)


def _insertion(record: Record, offset: int, snp: Snp) -> tuple[str, ...] | None:
    """Each allele as the one with or without the inserted A, `?` for anything else; None if none is meant."""
    if record.plain and 0 <= offset <= record.end - record.start:
        first = record.alleles[0][offset : offset + 1]
        return (snp.ref if first in ("", snp.ref) else first, *("?" for _ in record.alleles[1:]))
    out = [snp.ref, *(snp.alt if _inserts(record, allele, offset) else "?" for allele in record.alleles[1:])]
    return tuple(out) if snp.alt in out else None


def _inserts(record: Record, allele: str, offset: int) -> bool:
    """Whether an allele puts one A into the run that starts `offset` bases behind the record's start."""
    reference = record.alleles[0]
    if len(allele) != len(reference) + 1:
        return False
    for cut in range(len(allele)):
        if allele[cut] == "A" and allele[:cut] + allele[cut + 1 :] == reference:
            return offset < cut <= offset + snps.INSERTION_RUN
    return False


def _shown(text: bytes) -> str:
    return repr(text[:30].decode("utf-8", "replace"))


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
        keys = cells[8].split(b":")
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
