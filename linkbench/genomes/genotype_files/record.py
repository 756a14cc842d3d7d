"""One VCF record: its genotypes, and what they say of one SNP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from linkbench.genomes.genotype_files import snps
from linkbench.genomes.genotype_files.scan import Sighting
from linkbench.genomes.genotype_files.snps import Build, Snp
from linkbench.genomes.table_files import fault

MANY_ALLELES = 1000
"""Alternatives of one record, at most."""

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


_END = re.compile(rb"(?:^|;)END=([0-9]{1,10})(?:;|$)")


def end_of(info: bytes) -> int:
    """END of the INFO column, 0 where it has none."""
    match = _END.search(info)
    return int(match.group(1)) if match else 0


def shown(text: bytes) -> str:
    """The beginning of a cell, for messages."""
    return repr(text[:30].decode("utf-8", "replace"))


def read_record(
    path: Path, number: int, line: bytes, samples: Sequence[int], start: int, end: int, ids: tuple[str, ...]
) -> Record:
    """The record with its genotypes. Raises InputError where it breaks the format."""
    cells = line.split(b"\t")
    reference = cells[3].decode("ascii", "replace").upper()
    if not reference or set(reference) - set("ACGTN.MRWSYKVHDB"):
        raise fault(path, f"REF must be bases, found {shown(cells[3])}. The file is damaged", number)
    if cells[4].count(b",") > MANY_ALLELES or len(cells[8]) > MANY_ALLELES:
        raise fault(path, f"more than {MANY_ALLELES:,} alleles, or as much in FORMAT. The file is damaged", number)
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
            text = shown(values[at])
            raise fault(
                path, f"found genotype {text}, with {len(alleles)} alleles in REF and ALT. The file is damaged", number
            )
        calls.append(call)
    passed = cells[6] in (b"PASS", b".", b"")
    note = "" if passed else f"filter {shown(cells[6])[1:-1]}"
    return Record(number, start, end, ids, alleles, tuple(calls), note)


def genotype(text: bytes) -> tuple[int, ...] | None:
    """Numbers of the alleles: (0, 1) of 0/1 or 1|0; () where a part is missing; None if it is not a genotype."""
    if len(text) > 40:
        return None
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


def sighting(record: Record, number: int, offset: int, builds: frozenset[Build]) -> Sighting | None:
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
