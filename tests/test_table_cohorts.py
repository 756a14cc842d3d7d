"""Genomes from a user's table, with every mistake; cohorts without photos."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from linkbench.api.data import TEST, Genomes, check_cohort, most_likely, strings
from linkbench.api.schema import HIRISPLEX, PAPER, Schema
from linkbench.cohorts.paper_tables import PaperTablesCohort
from linkbench.cohorts.sampled import Sampled, confusion
from linkbench.errors import InputError, MissingExtraError
from linkbench.genomes import hirisplex, shipped
from linkbench.genomes.paper_tables import PaperTables
from linkbench.genomes.simulated import Simulated
from linkbench.genomes.table import GenomeTable
from linkbench.genomes.thousand_genomes import ThousandGenomes

MODEL = hirisplex.model()
SNPS = ",".join(MODEL.snps)
OWN = "id,ear:attached,ear:free,height:short,height:tall"


def write(folder: Path, text: str | bytes, name: str = "genomes.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def dosage_table(count: int = 20, web_names: bool = False) -> str:
    names = [f"{snp}_{allele}" if web_names else snp for snp, allele in zip(MODEL.snps, MODEL.alleles, strict=True)]
    rows = [",".join([row["id"], row["sex"], *row["dosages"]]) for row in shipped.rows("thousand_genomes.csv")[:count]]
    return "\n".join([",".join(["id", "sex", *names]), *rows]) + "\n"


def as_csv(genomes: Genomes) -> str:
    head = ",".join(["id", *genomes.schema.columns])
    rows = zip(genomes.ids, np.exp(genomes.log_p), strict=True)
    return "\n".join([head, *(",".join([name.decode(), *map(repr, row.tolist())]) for name, row in rows)])


def test_own_schema(tmp_path: Path) -> None:
    path = write(tmp_path, f"{OWN}\nann,0.25,0.75,0.5,0.5\n\nbob,1,1e-7,.1,.9\n")
    source = GenomeTable(path=path)
    genomes = source.build(0)
    assert source.input_files() == [path]
    assert genomes.schema == source.phenotypes() == Schema({"ear": ["attached", "free"], "height": ["short", "tall"]})
    assert genomes.ids.tolist() == [b"ann", b"bob"]
    np.testing.assert_allclose(np.exp(genomes.log_p), [[0.25, 0.75, 0.5, 0.5], [1, 1e-7, 0.1, 0.9]])


def test_known_schema_keeps_its_order_whatever_the_file_has(tmp_path: Path) -> None:
    original = PaperTables().build(0)
    lines = [line.split(",") for line in as_csv(original).splitlines()]
    turned = GenomeTable(path=write(tmp_path, "\n".join(",".join(cells[::-1]) for cells in lines)))
    assert turned.phenotypes() == PAPER
    np.testing.assert_allclose(turned.build(0).log_p, original.log_p, rtol=1e-12)
    assert len(PaperTablesCohort().build(turned.build(0), 0)) == 456


@pytest.mark.parametrize("web_names", [False, True])
@pytest.mark.parametrize("schema", ["paper", "hirisplex"])
def test_dosages_give_the_same_genomes_as_the_shipped(tmp_path: Path, web_names: bool, schema: str) -> None:
    path = write(tmp_path, dosage_table(20, web_names))
    genomes = GenomeTable.model_validate({"path": path, "schema": schema}).build(0)
    expected = ThousandGenomes.model_validate({"schema": schema}).build(0)
    assert genomes.schema == expected.schema
    np.testing.assert_array_equal(genomes.ids, expected.ids[:20])
    np.testing.assert_allclose(genomes.log_p, expected.log_p[:20], rtol=1e-12, atol=1e-12)


def test_empty_cells_are_missing_and_the_unused_snp_is_ignored(tmp_path: Path) -> None:
    text = f"\ufeffid, sex,{SNPS},rs6119471_T\nann,female{',1' * 36},,NA,2.0,1,\n"
    genomes = GenomeTable(path=write(tmp_path, text)).build(0)
    row = np.ones((1, 40))
    row[0, 36:] = [np.nan, np.nan, 2, 1]
    np.testing.assert_array_equal(genomes.log_p, hirisplex.log_p(row, np.zeros(1, bool), "paper"))


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"id": [b"ann", b"bob"], "ear:attached": [0.25, 1.0], "ear:free": [0.75, 0.5]})
    parquet.write_table(table, tmp_path / "p.parquet")
    genomes = GenomeTable(path=tmp_path / "p.parquet").build(0)
    assert genomes.ids.tolist() == [b"ann", b"bob"]
    np.testing.assert_allclose(np.exp(genomes.log_p), [[0.25, 0.75], [1, 0.5]])
    columns = {"id": ["ann"], "sex": ["male"]} | {snp: [1.0] for snp in MODEL.snps} | {MODEL.snps[3]: [None]}
    parquet.write_table(arrow.table(columns), tmp_path / "d.parquet")
    row = np.ones((1, 40))
    row[0, 3] = np.nan
    found = GenomeTable(path=tmp_path / "d.parquet").build(0).log_p
    np.testing.assert_array_equal(found, hirisplex.log_p(row, np.ones(1, bool), "paper"))
    parquet.write_table(arrow.table({"id": ["a"], "ear:attached": [None], "ear:free": [0.5]}), tmp_path / "n.parquet")
    with pytest.raises(InputError, match=r"n\.parquet:1:2: column 'ear:attached': found ''"):
        GenomeTable(path=tmp_path / "n.parquet").build(0)
    with pytest.raises(InputError, match="not a readable Parquet file"):
        GenomeTable(path=write(tmp_path, "id,a:b\n", "text.parquet")).phenotypes()


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'linkbench\[parquet\]'"):
        GenomeTable(path=write(tmp_path, "PAR1", "g.parquet")).build(0)


HEAD_PROBLEMS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", r":1: the file is empty.*must name the columns"),
    "blank": (",,\n", r":1: the file is empty"),
    "no id": ("name,eye:blue,eye:brown\n", r":1: column 'id' is missing.*add it"),
    "sampleid": (f"sampleid,sex,{SNPS}\n", r"rename 'sampleid' to 'id'"),
    "Id": ("Id,eye:blue,eye:brown\n", r"column 'id' is missing \(did you mean 'Id'\?\)"),
    "semicolons": ("id;eye:blue;eye:brown\n", r":1: the columns are separated by ';'.*commas"),
    "binary": (b"\x00\x01\x02,\x00\n", r":1: this is not a text file"),
    "latin-1": ("id,größe:klein,größe:gross\n".encode("latin-1"), r":1: byte 6 of this line \(0xf6\) is not UTF-8"),
    "twice": ("id,eye:blue,eye:blue\n", r":1:3: column 'eye:blue': this name stands in columns 2 and 3"),
    "no kind": ("id,weight\n", r":1: no column looks like a probability .* found: id, weight"),
    "not a variant": ("id,eye:blue,eye:brown,eye_green\n", r":1:4: column 'eye_green': expected a name of the form"),
    "near a variant": ("id,eye:blue,eye:brown,eye_blue\n", r"did you mean 'eye:blue'"),
    "one variant": ("id,eye:blue\n", r":1: phenotype 'eye' needs two or more"),
    "scattered": ("id,eye:a,ear:a,eye:b,ear:b\n", r":1: the columns of phenotype 'eye' do not stand together"),
    "no sex": (f"id,{SNPS}\n", r":1: column 'sex' is missing.*female or male"),
    "unknown rsid": (f"id,sex,{SNPS},rs1291383\n", r":1:43: .*unknown SNP \(did you mean 'rs12913832"),
    "unknown column": (f"id,sex,{SNPS},age\n", r":1:43: column 'age': unknown SNP.*Allowed: id, sex, and.*Rename or"),
    "missing rsid": (f"id,sex,{','.join(MODEL.snps[2:])}\n", r":1: 2 SNPs have no column: rs312262906, rs11547464"),
    "SNP twice": (f"id,sex,{SNPS},rs683_G\n", r":1:43: column 'rs683_G': rs683 stands in column \d+ already"),
    "other allele": (
        f"id,sex,{SNPS.replace('rs12913832', 'rs12913832_C')}\n",
        r":1:22: column 'rs12913832_C': the dosages count allele C, the model counts T.*2 - d.*name.*rs12913832_T",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEAD_PROBLEMS)
def test_mistakes_in_the_header(tmp_path: Path, name: str) -> None:
    text, message = HEAD_PROBLEMS[name]
    source = GenomeTable(path=write(tmp_path, text))
    for read in (source.phenotypes, lambda: source.build(0)):
        with pytest.raises(InputError, match=message) as caught:
            read()
        assert str(caught.value).startswith(str(tmp_path / "genomes.csv"))


GOOD = f"{OWN}\nann,0.25,0.75,0.5,0.5\n"
ROW_PROBLEMS: dict[str, tuple[str | bytes, str]] = {
    "no rows": (f"{OWN}\n", r"csv: there are no genomes"),
    "short row": (f"{GOOD}bob,0.25,0.75\n", r":3: found 3 cells, but the header names 5 columns"),
    "long row": (f"{GOOD}bob,1,1,1,1,1\n", r":3: found 6 cells"),
    "NaN": (f"{GOOD}bob,nan,1,1,1\n", r":3:2: column 'ear:attached': found 'nan'\. A probability must be a number"),
    "infinite": (f"{GOOD}bob,1,inf,1,1\n", r":3:3: column 'ear:free': found 'inf'"),
    "zero": (f"{GOOD}bob,1,1,0,1\n", r":3:4: column 'height:short': found '0'.*floor zeros.*1e-7"),
    "negative": (f"{GOOD}bob,1,1,1,-0.1\n", r":3:5: column 'height:tall': found '-0\.1'.*above 0"),
    "above one": (f"{GOOD}bob,1,1,1,25\n", r":3:5: .*found '25'.*at most 1; percentages"),
    "text": (f"{GOOD}bob,1,1,high,1\n", r":3:4: .*found 'high'\. Expected a number"),
    "empty cell": (f"{GOOD}bob,1,,1,1\n", r":3:3: .*found ''\. Expected a number"),
    "same id": (f"{GOOD}bob,1,1,1,1\nann,1,1,1,1\n", r":4:1: column 'id': id 'ann' stands in line 2 already"),
    "no id": (f"{GOOD} ,1,1,1,1\n", r":3:1: column 'id': found ''\. Give every genome"),
    "quotes": (f'{GOOD}"bob,1,1,1,1\n', r":3: this is not a CSV file"),
    "not UTF-8": (GOOD.encode() + b"b\xf6b,1,1,1,1\n", r":3: byte 2 of this line \(0xf6\) is not UTF-8"),
    "line after a long cell": (f'{OWN}\n"a\nb",1,1,1,1\nbob,1,1,1,2\n', r":4:5: "),
    "no sex": (f"id,sex,{SNPS}\nann,{',1' * 40}\n", r":2:2: column 'sex': found ''\. Allowed: female, male"),
    "short sex": (f"id,sex,{SNPS}\nann,F{',1' * 40}\n", r":2:2: column 'sex': found 'F'\. Allowed: female, male"),
    "dosage 3": (f"id,sex,{SNPS}\nann,male{',1' * 39},3\n", r":2:42: column 'rs8051733': found '3'.*0, 1 or 2; leave"),
    "dosage .5": (f"id,sex,{SNPS}\nann,male,0.5{',1' * 39}\n", r":2:3: column 'rs312262906': found '0\.5'"),
    "genotype": (f"id,sex,{SNPS}\nann,male,AG{',1' * 39}\n", r":2:3: .*found 'AG'"),
    "dosage NaN": (f"id,sex,{SNPS}\nann,male,nan{',1' * 39}\n", r":2:3: .*found 'nan'.*leave the cell empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROW_PROBLEMS)
def test_mistakes_in_a_row(tmp_path: Path, name: str) -> None:
    text, message = ROW_PROBLEMS[name]
    with pytest.raises(InputError, match=message) as caught:
        GenomeTable(path=write(tmp_path, text)).build(0)
    assert str(caught.value).startswith(str(tmp_path / "genomes.csv"))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv: there is no such file"):
        GenomeTable(path=tmp_path / "gone.csv").phenotypes()
    with pytest.raises(InputError, match="this is a folder"):
        GenomeTable(path=tmp_path).build(0)


def test_kind_can_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path, dosage_table(2))
    assert GenomeTable(path=path, kind="dosages").phenotypes() == PAPER
    with pytest.raises(InputError, match=r":1:2: column 'sex': expected a name of the form phenotype:variant"):
        GenomeTable(path=path, kind="probabilities").phenotypes()


def test_paper_cohort_is_as_published() -> None:
    genomes = PaperTables().build(0)
    cohort = PaperTablesCohort().build(genomes, 0)
    assert (len(cohort), len(np.unique(cohort.identity)), cohort.photos) == (456, 425, None)
    np.testing.assert_array_equal(genomes.ids[cohort.truth], cohort.ids)
    assert (cohort.split == TEST).all()
    assert cohort.predictions is not None
    assert cohort.predictions.shape == (456, 11)
    np.testing.assert_array_equal(cohort.predictions.sum(axis=1), 4)
    # Facts of the release: the counts of each variant, and how often the authors' networks are right.
    counts = [np.bincount(column).tolist() for column in cohort.labels.T]
    assert counts == [[296, 160], [195, 110, 151], [136, 108, 212], [129, 280, 47]]
    right = (most_likely(cohort.predictions, PAPER) == cohort.labels).mean(axis=0)
    np.testing.assert_allclose(right, [0.978, 0.857, 0.419, 0.616], atol=5e-4)
    # A genome's sex is that of its photo.
    np.testing.assert_array_equal(genomes.log_p[:, :2].argmax(axis=1), cohort.labels[:, 0])


def test_paper_cohort_finds_its_genomes_by_id() -> None:
    genomes = PaperTables().build(0)
    order = np.random.default_rng(0).permutation(456)
    turned = Genomes(PAPER, genomes.ids[order], genomes.log_p[order])
    np.testing.assert_array_equal(turned.ids[PaperTablesCohort().build(turned, 0).truth], genomes.ids)
    with pytest.raises(InputError, match=r"456 of its 456 people have no genome, the first is '1'.*'paper-tables'"):
        PaperTablesCohort().build(ThousandGenomes().build(0), 0)


def test_confusion_is_the_authors() -> None:
    eye = confusion("eye")
    np.testing.assert_allclose(eye.sum(axis=1), 1)
    cohort = PaperTablesCohort().build(PaperTables().build(0), 0)
    weight = np.bincount(cohort.labels[:, 2]) / 456
    assert weight @ np.diag(eye) == pytest.approx(0.419, abs=5e-4)


def test_sampled_people_follow_their_genomes_and_the_predictor() -> None:
    genomes = Simulated(count=60_000).build(1)
    cohort = Sampled(count=50_000).build(genomes, 2)
    check_cohort(cohort, genomes, "test")
    assert len(np.unique(cohort.truth)) == 50_000
    assert (cohort.split == TEST).all()
    expected = np.exp(genomes.log_p[cohort.truth])
    for column, (phenotype, span) in enumerate(PAPER.slices.items()):
        share = np.bincount(cohort.labels[:, column], minlength=span.stop - span.start) / 50_000
        np.testing.assert_allclose(share, expected[:, span].mean(axis=0), atol=0.01)
        assert cohort.predictions is not None
        predicted = most_likely(cohort.predictions, PAPER)[:, column]
        for variant in range(span.stop - span.start):
            drawn = predicted[cohort.labels[:, column] == variant]
            found = np.bincount(drawn, minlength=span.stop - span.start) / len(drawn)
            np.testing.assert_allclose(found, confusion(phenotype)[variant], atol=5 / np.sqrt(len(drawn)))


def test_sampled_is_the_same_for_the_same_seed() -> None:
    genomes = Simulated(count=300).build(1)
    first, again, other = (Sampled(count=100).build(genomes, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.truth, again.truth)
    assert (first.truth != other.truth).any()


def test_perfect_predictor_works_with_any_schema() -> None:
    genomes = Simulated.model_validate({"count": 50, "schema": "hirisplex"}).build(0)
    cohort = Sampled(count=50, predictor="perfect").build(genomes, 0)
    assert cohort.schema == HIRISPLEX
    assert cohort.predictions is not None
    np.testing.assert_array_equal(most_likely(cohort.predictions, HIRISPLEX), cohort.labels)
    with pytest.raises(InputError, match="predictor: perfect"):
        Sampled(count=50).build(genomes, 0)


def test_unnormalised_genomes_are_normalised_for_drawing() -> None:
    schema = Schema({"ear": ["attached", "free"]})
    genomes = Genomes(schema, strings([str(n) for n in range(4000)]), np.tile(np.log([0.01, 0.03]), (4000, 1)))
    cohort = Sampled(count=4000, predictor="perfect").build(genomes, 0)
    assert cohort.labels.mean() == pytest.approx(0.75, abs=0.03)


def test_too_many_people() -> None:
    with pytest.raises(InputError, match=r"101 people need as many genomes, but there are 100\. Lower 'count'"):
        Sampled(count=101).build(Simulated(count=100).build(0), 0)
