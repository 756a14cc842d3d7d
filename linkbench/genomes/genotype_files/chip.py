"""Raw data of genotyping chips: one line for each SNP, two letters."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

from linkbench.genomes.genotype_files import scan, snps
from linkbench.genomes.genotype_files.formats import Head
from linkbench.genomes.genotype_files.scan import Collector, Scan, Sex, Sighting
from linkbench.genomes.genotype_files.stream import Lines
from linkbench.genomes.table_files import fault

_LETTERS = "ACGTDI"
_NO_CALLS = ("", "-", "--", "0", "00", "??", "NN", "N")
_CALLS: dict[bytes, scan.Alleles] = {
    **{"".join(pair).encode(): pair for pair in product(_LETTERS, repeat=2)},
    **{letter.encode(): (letter,) for letter in _LETTERS},
    **{text.encode(): () for text in _NO_CALLS},
}
"""Every genotype that chip files write."""

TOLERATED = 0.01
"""Part of the lines that may have unknown chromosomes or genotypes; more, and the file is damaged."""

RATIO = 50
"""A packed file of a chip is about a fifth of its size; more than this is a decompression bomb."""

_BLANK = 1000  # blank lines, and comments, that may stand among the genotypes


def read_chip(lines: Lines, head: Head) -> Scan:
    """One pass over the lines. Raises InputError at the first line that has not the form of the others."""
    identifiers, positions = snps.by_id(), {b"%d" % position for _, position in scan.places()}
    rsid, chromosome, position, *alleles = head.columns
    one = len(alleles) == 1
    first, second = alleles[0], alleles[-1]
    separator, width = head.separator, head.width
    lines.ratio = RATIO
    quoted = separator == b","
    seen: dict[bytes, int] = defaultdict(int)
    sex = _SexCount()
    collector = Collector()
    total = odd = blank = 0
    for number, block in lines:
        for place, line in enumerate(block):
            cells = (line.replace(b'"', b"") if quoted else line).split(separator, width)
            if len(cells) != width:
                blank = _skip(lines, number + place, line, head, blank)
                continue
            total += 1
            name = cells[chromosome]
            call = cells[first] if one else _joined(cells[first], cells[second])
            if call not in _CALLS:
                odd += 1
            if len(name) > 5:
                odd += 1
            else:
                seen[name] += 1
            if name in _SEX:
                sex.add(_SEX[name], cells[position], call)
            elif cells[rsid] in identifiers or cells[position] in positions:
                for sighting in _sightings(cells[rsid], name, cells[position], call):
                    collector.add(lines.path, number + place, sighting)
        if len(seen) > 10_000:
            raise fault(lines.path, "the column of chromosomes holds thousands of names. Is the file damaged?", number)
    odd += sum(count for name, count in seen.items() if not snps.chromosome(name) and name not in _UNPLACED)
    _check(lines, total, odd)
    chromosomes = frozenset(map(snps.chromosome, seen)) - {""}
    return Scan(collector.found, [sex.result()], total, chromosomes)


def _check(lines: Lines, total: int, odd: int) -> None:
    """Refuse a file without genotypes, or with many odd ones."""
    if total == 0:
        raise fault(lines.path, "there are no genotypes below the head. Is the file cut off? Download it again")
    if odd > max(20, TOLERATED * total):
        what = f"{odd:,} of {total:,} lines have a chromosome or a genotype that no such file has"
        raise fault(lines.path, f"{what}. The file is damaged, or of another kind")


_UNPLACED = (b"", b"0", b"--", b"-", b"Un", b"U")
_SEX = {name: snps.chromosome(name) for name in (b"X", b"Y", b"23", b"24", b"chrX", b"chrY", b"x", b"y")}


def _joined(first: bytes, second: bytes) -> bytes:
    """Two allele cells as one genotype; one letter alone is a half call, and that is none."""
    if len(first) == len(second) == 1 and first not in b"-0N?" and second not in b"-0N?":
        return first + second
    return b"--" if first in (b"0", b"-", b"N", b"?", b"") or second in (b"0", b"-", b"N", b"?", b"") else b"!"


def _skip(lines: Lines, number: int, line: bytes, head: Head, blank: int) -> int:
    """Accept a comment or a blank line; the count of both. Raises InputError for anything else, or too many."""
    if line.startswith(b"#") or not line.strip():
        if blank < _BLANK:
            return blank + 1
        raise fault(lines.path, f"{_BLANK} lines below the head are blank or comments. Is it damaged?", number)
    found = line.count(head.separator) + 1
    what = f"found {found} column{'s' * (found != 1)}, but {head.width} are named in the head"
    raise fault(lines.path, f"{what}. The file is cut off or damaged: download it again", number)


def _sightings(rsid: bytes, chromosome: bytes, position: bytes, call: bytes) -> list[Sighting]:
    """What one line says: of the SNP that it names, or of the one that stands where it says."""
    chrom = snps.chromosome(chromosome)
    at = int(position) if position.isdigit() and len(position) < 10 else 0
    here = scan.places().get((chrom, at), ())
    named = snps.by_id().get(rsid)
    about = {named} if named is not None else {number for number, _ in here}
    out = []
    for number in sorted(about):
        snp = snps.table()[number]
        insertion = snp.rsid == snps.INSERTION
        alleles = _CALLS.get(call, ("?",))
        if insertion:
            alleles = tuple({"I": snp.alt, "D": snp.ref}.get(letter, letter) for letter in alleles)
            if named is None and not set(alleles) <= {snp.ref, snp.alt}:
                continue  # another variant near it
        sound = snp.strand(alleles) != "neither" if alleles else None
        builds = frozenset(build for other, build in here if other == number)
        placed = at > 0 and bool(chrom)
        out.append(Sighting(number, named is not None, builds, placed, (alleles,), sound, None, ""))
    return out


class _SexCount:
    def __init__(self) -> None:
        self.x = self.het = self.y_lines = self.y = 0

    def add(self, chromosome: str, position: bytes, call: bytes) -> None:
        alleles = _CALLS.get(call, ())
        if chromosome == "Y":
            self.y_lines += 1
            self.y += bool(alleles)
        elif alleles and position.isdigit() and len(position) < 10 and not snps.par(int(position)):
            self.x += 1
            self.het += len(alleles) == 2 and alleles[0] != alleles[1]

    def result(self) -> Sex:
        return Sex(self.x, self.het, self.y_lines, self.y)
