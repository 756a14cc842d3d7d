"""Which genotype file it is, from its head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from linkbench.errors import InputError
from linkbench.genomes.genotype_files.snps import Build
from linkbench.genomes.genotype_files.stream import Lines, open_lines
from linkbench.genomes.table_files import fault

Form = Literal["23andMe", "AncestryDNA", "MyHeritage", "FamilyTreeDNA", "VCF"]

LONGEST_HEAD = 500_000
"""Lines before the first genotype, at most; the VCF files of whole projects have some thousands."""

MOST_SAMPLES = 1_000_000
"""People in one VCF file, at most."""


class Head(NamedTuple):
    """What stands before the genotypes.

    separator: between cells; width: number of cells; columns: rsid, chromosome, position and one or two of alleles
    (empty for VCF); samples: names in a VCF file; build: what the head says of the assembly, if anything.
    """

    form: Form
    separator: bytes
    width: int
    columns: tuple[int, ...]
    samples: tuple[str, ...]
    build: Build | None


_NAMES = {
    "rsid": "rsid",
    "name": "rsid",
    "snp": "rsid",
    "chromosome": "chromosome",
    "chrom": "chromosome",
    "position": "position",
    "genotype": "genotype",
    "result": "genotype",
    "allele1": "allele1",
    "allele2": "allele2",
}
_VENDORS: dict[str, Form] = {
    "23andme": "23andMe",
    "ancestrydna": "AncestryDNA",
    "myheritage": "MyHeritage",
    "family tree": "FamilyTreeDNA",
    "familytree": "FamilyTreeDNA",
    "famfinder": "FamilyTreeDNA",
}
_BUILDS: tuple[tuple[Build, str], ...] = (
    (36, r"build\W{0,3}36|ncbi\W?36|\bhg18\b|\bb36\b"),
    (37, r"build\W{0,3}37|grch37|\bhg19\b|hs37d5|\bb37\b|human_g1k_v37"),
    (38, r"build\W{0,3}38|grch38|\bhg38\b|\bb38\b"),
)
# Lengths of chromosomes 1, 2 and 3 in each build, as the head of a VCF file lists them.
_LENGTHS: dict[str, Build] = {
    "247249719": 36,
    "242951149": 36,
    "199501827": 36,
    "249250621": 37,
    "243199373": 37,
    "198022430": 37,
    "248956422": 38,
    "242193529": 38,
    "198295559": 38,
}
_CONTIG = re.compile(r"##contig=<ID=(?:chr)?[123],.*?length=(\d+)", re.IGNORECASE)


def read_head(lines: Lines) -> Head:
    """The head; `lines` then goes on with the first genotype. Raises InputError if this is no genotype file."""
    comments: list[str] = []
    columns: Head | None = None
    for number, block in lines:
        for place, line in enumerate(block):
            at = number + place
            if at > LONGEST_HEAD:
                raise fault(lines.path, f"no genotypes in the first {LONGEST_HEAD:,} lines. {_KNOWN}", at)
            if line.startswith(b"#CHROM\t"):
                head = _vcf(lines.path, at, line, comments)
            elif line.startswith(b"#") or not line.strip():
                text = line[:2000].decode("utf-8", "replace")
                if len(comments) < 20_000:  # more say nothing new about the file
                    comments.append(text)
                columns = _columns(text.lstrip("# "), comments) or columns
                continue
            elif found := _columns(line[:2000].decode("utf-8", "replace"), comments):
                head = found
            elif columns is not None:
                lines.keep(at, block[place:])
                return columns
            else:
                raise fault(lines.path, f"this is not a genotype file: no line names its columns. {_KNOWN}", at)
            lines.keep(at + 1, block[place + 1 :])
            return head
    if columns is not None:
        return columns
    raise fault(lines.path, f"this is not a genotype file: nothing stands below its comments. {_KNOWN}")


_KNOWN = (
    "Known are the raw data of 23andMe, AncestryDNA, MyHeritage and FamilyTreeDNA as downloaded, and VCF files with "
    "a genotype (GT)"
)


def recognise(path: Path) -> Form | None:
    """The form of a genotype file, None if it is none."""
    try:
        with open_lines(path) as lines:
            return read_head(lines).form
    except InputError:
        return None


def _columns(line: str, comments: list[str]) -> Head | None:
    """What a line says that names columns, None if it does not."""
    separator = "\t" if "\t" in line else ","
    cells = [cell.strip().strip('"').strip().lower() for cell in line.split(separator)]
    names = [_NAMES.get(cell, "") for cell in cells]
    calls = ["allele1", "allele2"] if "allele1" in names else ["genotype"]
    kinds = ["rsid", "chromosome", "position", *calls]
    if any(names.count(kind) != 1 for kind in kinds):
        return None
    columns = tuple(names.index(kind) for kind in kinds)
    text = "\n".join(comments).lower()
    form: Form = "AncestryDNA" if len(columns) == 5 else "23andMe" if separator == "\t" else "FamilyTreeDNA"
    form = next((vendor for word, vendor in _VENDORS.items() if word in text), form)
    return Head(form, separator.encode(), len(cells), columns, (), _said(text))


def _said(text: str) -> Build | None:
    """The one build that a text names; None for none or several."""
    found = [build for build, pattern in _BUILDS if re.search(pattern, text, re.IGNORECASE)]
    return found[0] if len(found) == 1 else None


def _vcf(path: Path, at: int, line: bytes, comments: list[str]) -> Head:
    cells = line.decode("utf-8", "replace").rstrip().split("\t")
    if cells[1:8] != ["POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]:
        raise fault(path, "the columns of a VCF file must be #CHROM POS ID REF ALT QUAL FILTER INFO, tabs between", at)
    if not comments or not comments[0].startswith("##fileformat=VCF"):
        raise fault(path, "the first line of a VCF file must be ##fileformat=VCFv4.x. Is its head cut off?", 1)
    if len(cells) < 10 or cells[8] != "FORMAT":
        raise fault(
            path, "this VCF file has no samples, only sites. Give one with genotypes (columns after FORMAT)", at
        )
    samples = tuple(cells[9:])
    if len(samples) > MOST_SAMPLES:
        raise fault(path, f"this VCF file has more than {MOST_SAMPLES:,} samples. Split it (bcftools view -s)", at)
    if not all(name and name.isprintable() for name in samples):
        raise fault(path, "a sample of this VCF file has no name, or one with control characters. Rename it", at)
    if len(set(samples)) != len(samples):
        raise fault(path, "two samples of this VCF file have the same name. Rename one", at)
    lengths = {match.group(1) for text in comments if (match := _CONTIG.match(text))}
    builds = {_LENGTHS[length] for length in lengths if length in _LENGTHS}
    reference = " ".join(text for text in comments if text.lower().startswith(("##reference", "##assembly")))
    build = builds.pop() if len(builds) == 1 else _said(reference)
    return Head("VCF", b"\t", len(cells), (), samples, build)
