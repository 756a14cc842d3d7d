"""Genotype files: five forms, three builds, four packings, and everything that can be wrong with them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import genotype_export as ge
import numpy as np
import pytest
from click.testing import CliRunner

from linkbench.cli import cli
from linkbench.errors import InputError
from linkbench.genomes import hirisplex, shipped
from linkbench.genomes.genotype_files import snps
from linkbench.genomes.genotype_files.effect import effects
from linkbench.genomes.genotype_files.formats import recognise
from linkbench.genomes.genotype_files.reader import Genotypes, read, read_all
from linkbench.genomes.genotype_files.source import GenotypeFiles
from linkbench.genomes.genotype_files.stream import open_lines
from linkbench.genomes.table import GenomeTable

PEOPLE = ge.people()
WEB = {
    row["id"]: row["dosages"]
    for row in csv.DictReader((Path(__file__).parent / "data" / "webtool_first100.csv").read_text("utf-8").splitlines())
}
ME = PEOPLE["HG00096"]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes, name: str = "me.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


Write = Callable[..., Path]


def digits(found: Genotypes) -> str:
    return "".join("-" if np.isnan(dosage) else str(int(dosage)) for dosage in found.dosages)


def status(found: Genotypes, rsid: str) -> tuple[str, int | None]:
    call = found.calls[snps.by_id()[rsid.encode()]]
    return call.status, call.dosage


# The table


def test_positions_are_those_of_the_model() -> None:
    rows = {row["rsid"]: row for row in shipped.rows("snp_positions.csv")}
    assert len(rows) == 41
    for row in shipped.rows("hirisplexs.csv")[1:]:
        place = rows[row["rsid"]]
        assert [place[key] for key in ("chrom", "b37", "ref", "alt", "counted")] == [
            row[key] for key in ("chrom", "pos_b37", "ref", "alt", "counted")
        ]


def test_positions_keep_order_and_distance_within_a_gene() -> None:
    for gene in (["rs312262906", "rs1805009"], ["rs1545397", "rs1667394"], ["rs12896399", "rs17128291"]):
        first, last = (snps.table()[snps.by_id()[rsid.encode()]].positions for rsid in gene)
        assert len({last[build] - first[build] for build in snps.BUILDS}) == 1


@pytest.mark.parametrize(
    ("rsid", "places"),
    [
        ("rs12913832", (26039213, 28365618, 28120472)),
        ("rs1426654", (46213776, 48426484, 48134287)),
        ("rs16891982", (33987450, 33951693, 33951588)),
        ("rs1805007", (88513618, 89986117, 89919709)),
    ],
)
def test_known_positions(rsid: str, places: tuple[int, int, int]) -> None:
    assert tuple(snps.table()[snps.by_id()[rsid.encode()]].positions.values()) == places


# Forms, builds and packings against the web tool


@pytest.mark.slow
@pytest.mark.parametrize("build", ge.BUILDS)
@pytest.mark.parametrize("form", ge.FORMS)
def test_dosages_are_the_web_tools(form: str, build: int, file: Write) -> None:
    for name, person in PEOPLE.items():
        found = read(file(ge.export(form, build, person)))
        assert (found.form, found.build.build) == (form, build)
        assert digits(found) == WEB[name]
        assert status(found, "rs6119471") == ("read", person["rs6119471"].count("G"))
        assert all(call.status == "read" for call in found.calls)
        assert found.notes == ()


@pytest.mark.parametrize("packing", ge.PACKINGS)
@pytest.mark.parametrize("form", ge.FORMS)
def test_packings(form: str, packing: str, file: Write) -> None:
    found = read(file(ge.pack(ge.export(form, 37, ME), packing)))
    assert (found.packing, digits(found), found.notes) == (packing, WEB["HG00096"], ())


@pytest.mark.parametrize("form", ge.FORMS)
@pytest.mark.parametrize("sex", ["female", "male"])
def test_sex_shows_on_x_and_y(form: str, sex: str, file: Write) -> None:
    assert read(file(ge.export(form, 37, ME, sex))).sex.sex == sex


def test_everybody_in_a_vcf(file: Write) -> None:
    path = file(ge.vcf(38, {name: ge.sites(person, 38) for name, person in PEOPLE.items()}))
    found = read_all(path)
    assert {person.sample: digits(person) for person in found} == {name: WEB[name] for name in PEOPLE}
    assert digits(read(path, "HG00101")) == WEB["HG00101"]
    with pytest.raises(InputError, match=r"holds 12 people. Choose one with --sample: HG00096, HG00097"):
        read(path)
    with pytest.raises(InputError, match=r"no sample 'HG0010' \(did you mean 'HG00103'\?\)|no sample 'HG0010'"):
        read(path, "HG0010")


@pytest.mark.parametrize("build", ge.BUILDS)
@pytest.mark.parametrize(
    "style",
    [
        {"ids": False},
        {"ids": False, "head": False},
        {"mark": "/", "prefix": "chr"},
        {"before": "DP:AD:"},
        {"prefix": "", "before": "DP:"},
    ],
)
def test_vcf_styles(style: dict[str, object], build: int, file: Write) -> None:
    found = read(file(ge.vcf(build, {"me": ge.sites(ME, build)}, **style)))  # type: ignore[arg-type]
    assert (digits(found), found.build.build) == (WEB["HG00096"], build)


# Quirks of chips


def edited(form: str, *changes: tuple[str, str], build: int = 37) -> bytes:
    text = ge.export(form, build, ME).decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text.encode()


def line(rsid: str, pair: str, build: int = 37) -> str:
    place = ge.PLACES[rsid]
    return f"{rsid}\t{place['chrom']}\t{place[f'b{build}']}\t{pair}"


def test_bom_crlf_extra_quotes_and_no_last_line_end(file: Write) -> None:
    plain = ge.export("MyHeritage", 37, ME)
    for data in (
        b"\xef\xbb\xbf" + plain,
        plain.replace(b"\n", b"\r\n"),
        plain.replace(b'","', b'"",""'),
        plain.removesuffix(b"\n"),
        plain + b"\n\n",
    ):
        assert digits(read(file(data))) == WEB["HG00096"]


def test_internal_ids_are_found_by_position(file: Write) -> None:
    found = read(file(edited("23andMe", ("rs12913832\t", "i6000001\t"), ("rs312262906\t", "i3003137\t"))))
    assert digits(found) == WEB["HG00096"]


def test_a_family_tree_file_with_two_columns(file: Write) -> None:
    rows = [f"{s.rsid},{s.chrom},{s.position},{','.join(ge.letters(s) or '--')}" for s in ge.sites(ME, 37)]
    head = "# famfinder, https://www.familytreedna.com\n#\n# name,chromosome,position,allele1,allele2\n"
    found = read(file((head + "\n".join(rows) + "\n").encode()))
    assert (found.form, digits(found)) == ("FamilyTreeDNA", WEB["HG00096"])


@pytest.mark.parametrize(("pair", "expected"), [("DD", 0), ("DI", 1), ("ID", 1), ("II", 2)])
def test_the_insertion(pair: str, expected: int, file: Write) -> None:
    found = read(file(edited("23andMe", (line("rs312262906", "DD"), line("rs312262906", pair)))))
    assert status(found, "rs312262906") == ("read", expected)


@pytest.mark.parametrize(
    ("rsid", "before", "after", "expected"),
    [
        ("rs12913832", "GG", "--", ("no-call", None)),
        ("rs12913832", "GG", "CC", ("reversed", 0)),
        ("rs12913832", "GG", "CT", ("reversed", 1)),
        ("rs12913832", "GG", "AC", ("other-allele", None)),
        ("rs12913832", "GG", "G", ("haploid", None)),
        ("rs12913832", "GG", "II", ("other-allele", None)),
        ("rs16891982", "GG", "CG", ("read", 1)),
    ],
)
def test_one_call(rsid: str, before: str, after: str, expected: tuple[str, int | None], file: Write) -> None:
    found = read(file(edited("23andMe", (line(rsid, before), line(rsid, after)))))
    assert status(found, rsid) == expected


def test_letters_that_tell_no_strand_are_unknown_in_a_file_with_reversed_ones(file: Write) -> None:
    """Written by Illumina's TOP strand: A/C and A/G stay, C/T and G/T turn, and C/G and A/T cannot be told."""
    turned = {}
    for rsid, pair in ME.items():
        place = ge.PLACES[rsid]
        top = {place["ref"], place["alt"]} & {"T"} and len(place["alt"]) == 1
        turned[rsid] = tuple(snps.COMPLEMENT[letter] for letter in pair) if top else pair
    found = read(file(ge.export("23andMe", 37, turned)))  # type: ignore[arg-type]
    for snp, call in zip(snps.table(), found.calls, strict=True):
        if snp.palindromic and len(set(ME[snp.rsid])) == 1:
            assert call.status == "strand"
        else:
            assert call.dosage == ME[snp.rsid].count(snp.counted)
    assert any("reverse strand" in note for note in found.notes)


def test_twice_the_same_and_twice_another(file: Write) -> None:
    again = line("rs12913832", "GG")
    assert status(read(file(edited("23andMe", (again, f"{again}\n{again}")))), "rs12913832") == ("read", 0)
    found = read(file(edited("23andMe", (again, f"{again}\n{line('rs12913832', 'AG')}"))))
    assert status(found, "rs12913832") == ("contradictory", None)
    called = read(file(edited("23andMe", (again, f"{line('rs12913832', '--')}\n{again.replace('rs', 'i')}"))))
    assert status(called, "rs12913832") == ("read", 0)


def test_one_snp_at_another_place_is_not_read(file: Write) -> None:
    found = read(file(edited("23andMe", ("rs12913832\t15\t28365618", "rs12913832\t15\t28365619"))))
    assert status(found, "rs12913832") == ("other-place", None)


def test_a_missing_chromosome_is_said(file: Write) -> None:
    data = b"".join(row for row in ge.export("23andMe", 37, ME).splitlines(True) if b"\t16\t" not in row)
    found = read(file(data))
    assert "chromosome 16" in found.notes[0]
    assert status(found, "rs1805007") == ("absent", None)


def test_another_variant_at_the_same_place_does_not_contradict(file: Write) -> None:
    own = line("rs1805007", "CT")
    for pair in ("II", "CC", "--"):
        other = f"i5000000\t16\t89986117\t{pair}"
        found = read(file(edited("23andMe", (own, f"{other}\n{own}"))))
        assert status(found, "rs1805007") == ("read", 1)


# Quirks of VCF

HEAD = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=248956422>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tme\n"
)


def records(*rows: str) -> bytes:
    return (HEAD + "".join(row.replace(" ", "\t") + "\n" for row in rows)).encode()


@pytest.mark.parametrize(
    ("row", "rsid", "expected"),
    [
        ("chr15 28120472 . A G,T . . . GT 0/1", "rs12913832", ("read", 1)),
        ("chr15 28120472 . A T,G . . . GT 2|0", "rs12913832", ("read", 1)),
        ("chr15 28120472 . A G,T . . . GT 1/2", "rs12913832", ("other-allele", None)),
        ("chr15 28120472 . A G,* . . . GT 1/2", "rs12913832", ("other-allele", None)),
        ("chr15 28120472 . A G . . . DP:GT 9:1/1", "rs12913832", ("read", 0)),
        ("chr15 28120472 . A G . . . GT ./.", "rs12913832", ("no-call", None)),
        ("chr15 28120472 . A G . . . GT ./1", "rs12913832", ("no-call", None)),
        ("chr15 28120472 . A G . . . GT 1", "rs12913832", ("haploid", None)),
        ("chr15 28120472 . A G . . . GT 0/0/1", "rs12913832", ("haploid", None)),
        ("chr15 28120472 . A . . . . GT 0/0", "rs12913832", ("read", 2)),
        ("chr15 28120472 . a g . . . GT 0/1", "rs12913832", ("read", 1)),
        ("chr15 28120472 . A G,<NON_REF> . . . GT 0/1", "rs12913832", ("read", 1)),
        ("chr15 28120400 . T <NON_REF> . . END=28120500 GT 0/0", "rs12913832", ("read", 2)),
        ("chr15 28120400 . T <*> . . DP=3;END=28120472 GT 0/0", "rs12913832", ("read", 2)),
        ("chr15 28120400 . T . . . END=28120471 GT 0/0", "rs12913832", ("absent", None)),
        ("chr15 28120400 . T <NON_REF> . . END=28120500 GT ./.", "rs12913832", ("no-call", None)),
        ("chr15 28120400 . T <DEL> . . END=28120500;SVTYPE=DEL GT 0/1", "rs12913832", ("absent", None)),
        ("chr15 28120471 . CA TG . . . GT 0/1", "rs12913832", ("read", 1)),
        ("chr15 28120471 . CAT C . . . GT 0/1", "rs12913832", ("absent", None)),
        ("chr15 28120472 . AT A . . . GT 0/1", "rs12913832", ("absent", None)),
        ("chr20 34077000 . T <NON_REF> . . END=34079000 GT 0/0", "rs6059655", ("unknown-base", None)),
        ("chr20 34077942 . A G . . . GT 1/1", "rs6059655", ("read", 0)),
        ("chr16 89919342 . C CA . . . GT 0/1", "rs312262906", ("read", 1)),
        ("chr16 89919344 . A AA . . . GT 1/1", "rs312262906", ("read", 2)),
        ("chr16 89919342 . CAAC CAAAC . . . GT 0/1", "rs312262906", ("read", 1)),
        ("chr16 89919342 . C CAA,CA . . . GT 0/2", "rs312262906", ("read", 1)),
        ("chr16 89919342 . C CAA,CA . . . GT 1/2", "rs312262906", ("other-allele", None)),
        ("chr16 89919342 . C CG . . . GT 0/1", "rs312262906", ("absent", None)),
        ("chr16 89919342 . C T . . . GT 0/1", "rs312262906", ("absent", None)),
        ("chr16 89919300 . G <NON_REF> . . END=89919400 GT 0/0", "rs312262906", ("read", 0)),
    ],
)
def test_one_record(row: str, rsid: str, expected: tuple[str, int | None], file: Write) -> None:
    also = "chr5 33951588 . C G . . . GT 1/1"
    assert status(read(file(records(also, row))), rsid) == expected


def test_a_record_says_more_than_a_block(file: Write) -> None:
    block = "chr15 28120400 . T <NON_REF> . . END=28120500 GT 0/0"
    found = read(file(records(block, "chr15 28120472 . A G,<NON_REF> . LowQual . GT 0/1")))
    assert status(found, "rs12913832") == ("read", 1)
    assert any("filters" in note for note in found.notes)
    assert digits(found).count("-") == 39


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("A G 0/1", "A T 0/0"), ("read", 1)),
        (("A T 0/0", "A G 1/1"), ("read", 0)),
        (("A G 0/1", "A T 0/1"), ("other-allele", None)),
        (("A G 0/1", "A G 1/1"), ("contradictory", None)),
        (("A G 0/1", "A . 0/0"), ("read", 1)),
        (("A G 0/1", "A G 0/1"), ("read", 1)),
    ],
)
def test_alternatives_split_over_records(rows: tuple[str, str], expected: tuple[str, int | None], file: Write) -> None:
    cells = [row.split() for row in rows]
    other = "NC_000005.10 33951588 . C G . . . GT 1/1"
    data = records(other, *(f"NC_000015.10 28120472 . {ref} {alt} . . . GT {call}" for ref, alt, call in cells))
    assert status(read(file(data)), "rs12913832") == expected


@pytest.mark.parametrize("build", ge.BUILDS)
def test_a_genome_of_blocks(build: int, file: Write) -> None:
    """gVCF: blocks of reference, records only where the person differs."""
    rows = []
    for site in ge.sites(ME, build):
        if site.alleles is None or site.rsid not in ME:
            continue
        if site.alleles == (site.ref, site.ref):
            base = site.ref if site.rsid == "rs6059655" else "N"
            start = site.position if site.rsid == "rs6059655" else site.position - 1
            rows.append(f"{site.chrom} {start} . {base} <NON_REF> . . END={site.position} GT 0/0")
        else:
            pair = "/".join(str(int(letter != site.ref)) for letter in site.alleles)
            rows.append(f"{site.chrom} {site.position} . {site.ref} {site.alt},<NON_REF> . . . GT {pair}")
    data = records(*rows).replace(b"##contig=<ID=chr1,length=248956422>\n", b"")
    found = read(file(data))
    assert (digits(found), found.build.build) == (WEB["HG00096"], build)


def test_what_a_whole_genome_does_not_list_is_the_reference(file: Write) -> None:
    lines = [site for site in ge.sites(ME, 37) if site.alleles and site.alleles != (site.ref, site.ref)]
    path = file(ge.vcf(37, {"me": lines}))
    unknown, known = read(path), read(path, absent="reference")
    assert any("--absent reference" in note for note in unknown.notes)
    assert digits(unknown).count("-") > 20
    gone = [snp.chrom for snp in snps.table() if snp.chrom not in {site.chrom for site in lines}]
    assert not gone
    assert digits(known) == WEB["HG00096"]


# Faults

CHIP = ge.export("23andMe", 37, ME)
VCF = ge.export("VCF", 37, ME)


def rows_of(data: bytes) -> tuple[list[bytes], list[list[bytes]]]:
    """Lines of the head, cells of the others."""
    lines = data.splitlines(True)
    return lines[:4], [line.split(b"\t") for line in lines[4:]]


def stray() -> bytes:
    """Positions of no build."""
    head, rows = rows_of(CHIP)
    return b"".join([*head, *(b"\t".join([*row[:2], b"%d" % (int(row[2]) + 1234), row[3]]) for row in rows)])


def mixed() -> bytes:
    """Chromosome 15 as in another build than the others."""
    head, rows = rows_of(CHIP)
    _, others = rows_of(ge.export("23andMe", 38, ME))
    pairs = zip(rows, others, strict=True)
    return b"".join([*head, *(b"\t".join(other if other[1] == b"15" else row) for row, other in pairs)])


def without() -> bytes:
    """None of the 41."""
    head, rows = rows_of(CHIP)
    return b"".join([*head, *(b"\t".join(row) for row in rows if row[0].decode() not in ME)])


FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n\n\n", "not a genotype file"),
    "text": (b"Dear reader,\nthis is a letter.\n", r":1: this is not a genotype file: no line names its columns"),
    "binary": (b"\x7fELF\0\0\0" + b"\0" * 99, "not a text file"),
    "pdf": (b"%PDF-1.7\n1 0 obj\n", "a PDF document"),
    "utf-16": (CHIP.decode().encode("utf-16"), "UTF-16"),
    "cr": (CHIP.replace(b"\n", b"\r"), "CR alone"),
    "head only": (b"".join(CHIP.splitlines(True)[:4]), "there are no genotypes below the head"),
    "cut": (CHIP[:-9], r":\d+: found \d columns?, but 4 are named"),
    "a column too many": (CHIP.replace(b"rs12913832\t", b"rs12913832\t1\t"), "found 5 columns, but 4"),
    "no SNP": (without(), "none of the 41 SNPs"),
    "gzip cut": (gzip.compress(CHIP)[:-30], "cut off"),
    "gzip damaged": (gzip.compress(CHIP)[:-8] + b"\1\2\3\4\5\6\7\x08", "damaged"),
    "gzip twice": (gzip.compress(gzip.compress(CHIP)), "packed twice"),
    "zip cut": (ge.pack(CHIP, "zip")[:-40], "zip archive is damaged"),
    "wrong build": (stray(), r"positions are of none of the builds 36, 37 and 38: rs\d+ should stand at"),
    "two builds": (mixed(), "positions are mixed"),
    "garbage calls": (CHIP.replace(b"\tAA\n", b"\tQQ\n"), "lines have a chromosome or a genotype"),
    "vcf without samples": (VCF.replace(b"\tFORMAT\tme\n", b"\n"), "has no samples"),
    "vcf without head": (VCF[VCF.index(b"#CHROM") :], "fileformat"),
    "vcf cut": (VCF[:-12], r"found \d columns?, but the head names 10"),
    "vcf without GT": (VCF.replace(b"GT:", b"GP:"), "FORMAT lacks GT"),
    "vcf allele that is not there": (VCF.replace(b"1|1", b"3|3"), r"found genotype '3\|3', with 2 alleles"),
    "vcf genotype": (VCF.replace(b"1|1", b"x|1"), "found genotype"),
    "vcf REF": (VCF.replace(b"rs12913832\tA\tG", b"rs12913832\tC\tG"), "REF is C at rs12913832"),
    "vcf strand": (VCF.replace(b"rs12913832\tA\tG", b"rs12913832\tT\tC"), "reverse strand"),
    "vcf POS": (VCF.replace(b"28365618\trs12913832", b"x\trs12913832"), "POS must be a whole number"),
    "vcf name": (VCF.replace(b"FORMAT\tme", b"FORMAT\t\x1b[31mme"), "control characters"),
    "vcf two of one name": (VCF.replace(b"FORMAT\tme", b"FORMAT\tme\tme"), "same name"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FAULTS))
def test_faults_are_said(name: str, file: Write) -> None:
    data, message = FAULTS[name]
    path = file(data)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    result = CliRunner().invoke(cli, ["genotype", "read", str(path)])
    assert (result.output, type(result.exception)) == ("", InputError)
    assert caught.value.exit_status == 2


def test_other_faults(tmp_path: Path, file: Write) -> None:
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "gone.txt")
    with pytest.raises(InputError, match="this is a folder"):
        read(tmp_path)
    path = file(CHIP)
    with pytest.raises(InputError, match="one person"):
        read(path, "me")
    with pytest.raises(InputError, match=r"known SNPs stand where GRCh37 \(hg19\) has them"):
        read(path, build=38)
    locked = io.BytesIO()
    with zipfile.ZipFile(locked, "w") as archive:
        archive.writestr("a.txt", CHIP)
        archive.writestr("b.txt", CHIP)
    with pytest.raises(InputError, match="must hold one file, found 2: 'a.txt', 'b.txt'"):
        read(file(locked.getvalue()))


def test_a_zip_archive_of_thousands_is_refused_before_its_list_is_read(file: Write) -> None:
    crowd = io.BytesIO()
    with zipfile.ZipFile(crowd, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number:04000}", b"")
    with pytest.raises(InputError, match="lists thousands of files"):
        read(file(crowd.getvalue()))


def test_a_record_of_a_thousand_alleles_is_refused(file: Write) -> None:
    row = f"chr15 28120472 . A {','.join(['G'] * 1500)} . . . GT 0/1"
    with pytest.raises(InputError, match="more than 1,000 alleles"):
        read(file(records(row)))


def test_a_bgzf_file_without_its_end_is_said(file: Write) -> None:
    found = read(file(ge.bgzf(VCF)[:-28]))
    assert any("cut off" in note for note in found.notes)


def test_the_head_may_be_wrong(file: Write) -> None:
    found = read(file(edited("23andMe", ("build 37", "build 38"))))
    assert found.build.build == 37
    assert "names GRCh38" in found.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["gzip", "zip"])
@pytest.mark.parametrize("filling", [b"0", b"\n", b"#\n", b"rs1\t1\t1\tAA\n"])
def test_bombs(filling: bytes, packing: str, file: Write) -> None:
    """50 MB in 50 kB: refused for a long line, for much of nothing, or for the ratio."""
    data = CHIP + filling * (50_000_000 // len(filling))
    with pytest.raises(InputError, match="longer than|times its size|are blank or comments"):
        read(file(ge.pack(data, packing)))


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["none", "gzip"])
def test_memory_does_not_grow_with_the_file(packing: str, file: Write) -> None:
    """Lines come in blocks of a MiB; of what they say no more is kept than a few lines for each SNP."""
    path = file(ge.pack(CHIP + b"".join(b"rs%d\t1\t%d\tAG\n" % (n, n) for n in range(10**9, 10**9 + 400_000)), packing))
    tracemalloc.start()
    with open_lines(path) as lines:
        assert sum(len(block) for _, block in lines) > 400_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    again = line("rs12913832", "GG")
    many = "".join(f"\n{again[:-2]}{first}{second}" for first in "ACGTID" for second in "ACGTID")
    with pytest.raises(InputError, match="more than 50 different lines are about rs12913832"):
        read(file(edited("23andMe", (again, again + many + many.replace("rs", "i")))))


# Probabilities


def test_nothing_missing_leaves_no_span(file: Write) -> None:
    found = read(file(CHIP))
    told = effects(found.dosages)
    published = hirisplex.probabilities(found.dosages[None])[0]
    flat = [chance for effect in told.values() for chance in effect.chances.values()]
    np.testing.assert_allclose([chance.mean for chance in flat], published)
    np.testing.assert_allclose([chance.low for chance in flat], published)
    np.testing.assert_allclose([chance.high for chance in flat], published)


def test_a_missing_snp_is_averaged_and_its_span_holds_every_likely_genotype() -> None:
    dosages = hirisplex.dosage_digits([WEB["HG00096"]])[0].astype(float)
    place = hirisplex.model().snps.index("rs12913832")
    filled = np.repeat(dosages[None], 3, axis=0)
    filled[:, place] = range(3)
    dosages[place] = np.nan
    eye = effects(dosages)["eye"]
    blue = hirisplex.probabilities(filled)[:, 0]
    assert eye.missing == ("rs12913832",)
    assert eye.used == 6
    assert eye.chances["blue"].mean == pytest.approx(hirisplex.probabilities(dosages[None])[0, 0])
    # at a frequency of 0.82 all three genotypes but the rarest (0.03) are within 90 %
    assert eye.chances["blue"].low == pytest.approx(blue[2])
    assert eye.chances["blue"].high == pytest.approx(blue[1])


# The command and the plugin


def test_command(file: Write) -> None:
    path = str(file(edited("23andMe", (line("rs12913832", "GG"), line("rs12913832", "--")))))
    text = CliRunner().invoke(cli, ["genotype", "read", path])
    assert text.exit_code == 0
    assert "build: GRCh37 (hg19) (41 known SNPs at their position)" in text.output
    assert "SNPs of HIrisPlex-S: 40 of 41 read" in text.output
    assert "rs12913832    15:28365618   -         -       in the file, without a call" in text.output
    assert "eye, 1 of 6 SNPs missing" in text.output
    found = json.loads(CliRunner().invoke(cli, ["genotype", "read", path, "--json"]).output)
    assert (found["format"], found["build"], found["sex"]) == ("23andMe", 37, "male")
    assert [snp["status"] for snp in found["snps"] if snp["dosage"] is None] == ["no-call"]
    assert found["phenotypes"]["eye"]["missing"] == ["rs12913832"]
    for group in found["phenotypes"].values():
        assert sum(chance["mean"] for chance in group["probabilities"].values()) == pytest.approx(1)


def test_a_folder_of_people_is_the_shipped_genomes(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    for number, (name, person) in enumerate(PEOPLE.items()):
        form, packing = ge.FORMS[number % 5], ge.PACKINGS[number % 4]
        ending = {"none": "", "gzip": ".gz", "zip": ".zip", "bgzf": ".gz"}[packing]
        sex = "male" if number % 2 else "female"
        (folder / f"{name}.txt{ending}").write_bytes(
            ge.pack(ge.export(form, ge.BUILDS[number % 3], person, sex), packing)
        )
    (folder / "HG00100.vcf.gz.tbi").write_bytes(b"\0")
    found = GenotypeFiles(path=folder).build(0)
    dosages = hirisplex.dosage_digits([WEB[name] for name in PEOPLE])
    male = np.arange(len(PEOPLE)) % 2 == 1
    assert [name.decode() for name in found.ids] == list(PEOPLE)
    np.testing.assert_array_equal(found.log_p, hirisplex.log_p(dosages, male, "paper"))


def test_sexes_come_from_a_table_where_files_do_not_show_them(tmp_path: Path, file: Write) -> None:
    data = b"".join(row for row in CHIP.splitlines(True) if b"\tX\t" not in row and b"\tY\t" not in row)
    path = file(data)
    with pytest.raises(InputError, match="sex is not clear"):
        GenotypeFiles(path=path).build(0)
    table = tmp_path / "sexes.csv"
    table.write_text("id,sex\nme,female\n")
    chosen = GenotypeFiles(path=path, sexes=table).build(0)
    np.testing.assert_array_equal(chosen.log_p, GenotypeFiles(path=path, sex="female").build(0).log_p)
    folder = GenotypeFiles(path=tmp_path, sexes=table).build(0)  # the table may lie beside the files
    np.testing.assert_array_equal(folder.log_p, chosen.log_p)
    table.write_text("id,sex\nyou,female\n")
    with pytest.raises(InputError, match="nobody is called 'you'"):
        GenotypeFiles(path=path, sexes=table).build(0)


@pytest.mark.parametrize("form", ge.FORMS)
@pytest.mark.parametrize("packing", ge.PACKINGS)
def test_the_table_source_says_what_a_genotype_file_is(form: str, packing: str, file: Write) -> None:
    path = file(ge.pack(ge.export(form, 37, ME), packing))
    assert recognise(path) == form
    with pytest.raises(InputError, match=rf"this is a genotype file \({form}\).*genotype-files"):
        GenomeTable(path=path).phenotypes()


# Damage


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A file with a few random wounds."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 30))):
        at, length = chance.randrange(len(out)), chance.choice((1, 1, 4, 40, 400))
        kind = chance.randrange(5)
        if kind == 0:
            out[at : at + length] = chance.randbytes(length)
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[(other := chance.randrange(len(out))) : other + length]
        elif kind == 3:
            out[at] = chance.choice(b"\t\n\r\0,\"'/|.;:0-9AT")
        else:
            out[at:at] = bytes([out[at]]) * length
        if not out:
            return b""
    return bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("packing", ge.PACKINGS)
@pytest.mark.parametrize("form", ge.FORMS)
def test_damaged_files_are_read_or_refused(form: str, packing: str, file: Write) -> None:
    chance = random.Random(f"{form} {packing}")
    whole = ge.export(form, 37, ME)
    for _ in range(25):
        inside = chance.random() < 0.7
        data = ge.pack(mutated(whole, chance), packing) if inside else mutated(ge.pack(whole, packing), chance)
        for person in readable(file(data)):
            assert np.isin(person.dosages[~np.isnan(person.dosages)], (0, 1, 2)).all()


def readable(path: Path) -> list[Genotypes]:
    """Everybody in a file, nobody where it is refused; any other error is a fault of the reader."""
    try:
        return read_all(path)
    except InputError:
        return []
