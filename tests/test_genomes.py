"""HIrisPlex-S against the web tool, the shipped tables against what is published about them, simulated genomes.

tests/data/webtool_first100.csv: dosages and probabilities that the HIrisPlex-S web tool printed for the first 100
people of the 1000 Genomes Project; its sources are those of linkbench/genomes/data/SOURCES.md.
"""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from linkbench.api.data import Array, check_genomes
from linkbench.api.schema import HIRISPLEX, PAPER
from linkbench.genomes import hirisplex, shipped
from linkbench.genomes.paper_tables import PaperTables
from linkbench.genomes.simulated import Simulated, numbered
from linkbench.genomes.thousand_genomes import ThousandGenomes

SUPER = ("AFR", "AMR", "EAS", "EUR", "SAS")
WEB = list(csv.DictReader((Path(__file__).parent / "data" / "webtool_first100.csv").read_text("utf-8").splitlines()))


def people() -> list[dict[str, str]]:
    return shipped.rows("thousand_genomes.csv")


def thousand() -> Array:
    return hirisplex.dosage_digits([person["dosages"] for person in people()])


def sums(log_p: Array, schema: object) -> Array:
    return np.stack([np.exp(log_p[:, span]).sum(axis=1) for span in schema.slices.values()], axis=1)  # type: ignore[attr-defined]


def test_probabilities_are_the_web_tools() -> None:
    dosages = hirisplex.dosage_digits([row["dosages"] for row in WEB])
    published = np.array([[float(row[column]) for column in hirisplex.CLASSES.columns] for row in WEB])
    np.testing.assert_allclose(hirisplex.probabilities(dosages), published, rtol=1e-8, atol=1e-8)


def test_shipped_dosages_are_the_web_tools() -> None:
    assert [row["id"] for row in WEB] == [person["id"] for person in people()[:100]]
    assert [row["dosages"] for row in WEB] == [person["dosages"] for person in people()[:100]]
    # No SNP is all heterozygous, so a wrongly chosen allele would show in each.
    assert (hirisplex.dosage_digits([row["dosages"] for row in WEB]) != 1).any(axis=0).all()


@pytest.mark.parametrize("population", ["ALL", *SUPER])
def test_allele_frequencies_are_the_published(population: str) -> None:
    chosen = np.array([population in ("ALL", person["super_population"]) for person in people()])
    measured = thousand()[chosen].mean(axis=0) / 2
    np.testing.assert_allclose(measured, hirisplex.model().frequency[population], atol=5.1e-5)


def test_counted_allele_is_the_web_tools_on_its_strand() -> None:
    complement = dict(zip("ACGT", "TGCA", strict=True))
    for row in shipped.rows("hirisplexs.csv")[1:]:
        assert row["counted"] in (row["ref"], row["alt"])
        letter = row["counted"][-1]  # the last base of an insertion is what was inserted (rs312262906: C>CA)
        if row["rsid"] == "rs312262906":
            assert (row["counted"], row["allele"]) == ("CA", "A")
        else:
            assert row["allele"] == (letter if row["strand"] == "fwd" else complement[letter])


@pytest.mark.parametrize(
    ("snp", "frequent", "rare"),
    [("rs12913832", "AFR", "EUR"), ("rs1426654", "AFR", "EUR"), ("rs16891982", "EAS", "EUR")],
)
def test_known_pigmentation_alleles_point_the_right_way(snp: str, frequent: str, rare: str) -> None:
    model = hirisplex.model()
    column = model.snps.index(snp)
    assert model.frequency[frequent][column] > 0.9 > 0.4 > model.frequency[rare][column]


def test_europeans_are_blue_eyed_and_africans_are_not() -> None:
    chance = hirisplex.probabilities(thousand())[:, 0]
    region = np.array([person["super_population"] for person in people()])
    assert chance[region == "EUR"].mean() > 0.3
    assert chance[region == "AFR"].mean() < 0.01


def test_model_is_the_published_size() -> None:
    model = hirisplex.model()
    assert len(model.snps) == 40
    assert hirisplex.UNUSED not in model.snps
    used = [
        (model.coefficients[:, columns] != 0).any(axis=1).sum() for columns in ([0, 1], [2, 3, 4], [5], range(6, 10))
    ]
    assert used == [6, 22, 20, 35]


dosage_tables = hnp.arrays(np.float64, (7, 40), elements=st.sampled_from([0.0, 1.0, 2.0]))
gap_tables = hnp.arrays(np.float64, (4, 40), elements=st.sampled_from([0.0, 1.0, 2.0, np.nan]))


@settings(max_examples=40, deadline=None)
@given(dosage_tables, hnp.arrays(np.bool_, 7))
def test_probabilities_sum_to_one(dosages: Array, male: Array) -> None:
    exact = hirisplex.probabilities(dosages)
    for span in hirisplex.CLASSES.slices.values():
        np.testing.assert_allclose(exact[:, span].sum(axis=1), 1, atol=1e-12)
    for name, schema in (("paper", PAPER), ("hirisplex", HIRISPLEX)):
        log_p = hirisplex.log_p(dosages, male, name)  # type: ignore[arg-type]
        assert log_p.shape == (7, schema.width)
        assert log_p.min() >= np.log(1e-7)
        np.testing.assert_allclose(sums(log_p, schema), 1, atol=1e-6)
        assert (np.exp(log_p[:, schema.slices["sex"]]).argmax(axis=1) == male).all()


@settings(max_examples=15, deadline=None)
@given(gap_tables)
def test_probabilities_with_gaps_sum_to_one_and_do_not_depend_on_neighbours(dosages: Array) -> None:
    together = hirisplex.probabilities(dosages)
    for span in hirisplex.CLASSES.slices.values():
        np.testing.assert_allclose(together[:, span].sum(axis=1), 1, atol=1e-9)
    alone = np.concatenate([hirisplex.probabilities(row[None]) for row in dosages])
    np.testing.assert_allclose(alone, together, atol=1e-12)


def test_few_missing_snps_are_summed_out_exactly() -> None:
    model = hirisplex.model()
    dosages = thousand()[::500].astype(float)
    gone = [model.snps.index(snp) for snp in ("rs12913832", "rs1426654", "rs16891982")]
    expected = np.zeros((len(dosages), 14))
    for filled in product(range(3), repeat=3):
        frequency = model.frequency["ALL"][gone]
        chance = np.choose(filled, [(1 - frequency) ** 2, 2 * frequency * (1 - frequency), frequency**2]).prod()
        dosages[:, gone] = filled
        expected += chance * hirisplex.probabilities(dosages)
    dosages[:, gone] = np.nan
    np.testing.assert_allclose(hirisplex.probabilities(dosages), expected, atol=1e-12)


def test_all_snps_missing_is_the_population_within_the_stated_error() -> None:
    frequency = hirisplex.model().frequency["ALL"]
    random = np.random.default_rng(5)
    drawn = (random.random((2, 200_000, 40)) < frequency).sum(axis=0)
    population = hirisplex.probabilities(drawn).mean(axis=0)
    nobody = hirisplex.probabilities(np.full((1, 40), np.nan))[0]
    np.testing.assert_allclose(nobody, population, atol=0.02)


def test_paper_schema_drops_red_hair_and_merges_skin() -> None:
    dosages = thousand()[:300]
    classes = hirisplex.probabilities(dosages)
    black, blonde, brown = np.exp(hirisplex.log_p(dosages, np.zeros(300), "paper")[:, PAPER.slices["hair"]]).T
    hair = classes[:, hirisplex.CLASSES.slices["hair"]]
    for paper, column in ((blonde, 0), (brown, 1), (black, 3)):
        np.testing.assert_allclose(paper, np.maximum(hair[:, column] / (1 - hair[:, 2]), 1e-7), rtol=1e-6)
    skin = classes[:, hirisplex.CLASSES.slices["skin"]]
    merged = np.stack([skin[:, :2].sum(axis=1), skin[:, 2], skin[:, 3:].sum(axis=1)], axis=1)
    table = hirisplex.log_p(dosages, np.zeros(300), "paper")[:, PAPER.slices["skin"]]
    np.testing.assert_allclose(np.exp(table), np.maximum(merged, 1e-7), rtol=1e-12)


def test_thousand_genomes() -> None:
    everyone = ThousandGenomes().build(0)
    assert len(check_genomes(everyone, "test")) == 2504
    assert everyone.schema == PAPER
    assert everyone.ids[0] == b"HG00096"
    assert everyone.log_p[0, 1] == 0  # HG00096 is male
    european = ThousandGenomes(schema="hirisplex", population="EUR").build(0)
    assert (len(european), european.schema) == (503, HIRISPLEX)
    assert european.log_p.shape == (503, 14)
    assert {place: len(ThousandGenomes(population=place).build(0)) for place in SUPER} == {  # type: ignore[arg-type]
        "AFR": 661,
        "AMR": 347,
        "EAS": 504,
        "EUR": 503,
        "SAS": 489,
    }


def test_schema_parameter_goes_by_its_alias() -> None:
    source = ThousandGenomes.model_validate({"schema": "hirisplex"})
    assert source.phenotypes() == HIRISPLEX
    assert source.model_dump(by_alias=True) == {"schema": "hirisplex", "population": "ALL"}
    assert ThousandGenomes.model_validate(source.model_dump(by_alias=True)) == source
    assert "schema" in Simulated.model_json_schema()["properties"]
    for wrong in ({"schema": "own"}, {"schema_": "paper"}, {"population": "MARS"}):
        with pytest.raises(ValidationError):
            ThousandGenomes.model_validate(wrong)


@pytest.mark.parametrize(("setting", "distinct"), [("realistic", 190), ("ideal", 39)])
def test_paper_tables_are_as_published(setting: str, distinct: int) -> None:
    genomes = check_genomes(PaperTables(setting=setting).build(0), "test")  # type: ignore[arg-type]
    assert genomes.log_p.shape == (456, 11)
    assert genomes.ids[:3].tolist() == [b"1", b"2", b"6"]
    assert len(np.unique(genomes.log_p, axis=0)) == distinct
    first = {  # row 1 of the release, whose columns stand in another order
        "realistic": [
            1,
            1e-7,
            0.026496644,
            0.043127517,
            0.396187919,
            1.1e-13,
            1.39e-5,
            1e-5,
            0.11301092,
            0.118653576,
            1e-7,
        ],
        "ideal": [
            1,
            1e-7,
            0.016063883,
            0.072427293,
            0.350484713,
            1e-7,
            1e-7,
            0.000385383,
            0.029623466,
            0.17696415,
            0.000121351,
        ],
    }
    np.testing.assert_array_equal(genomes.log_p[0], np.log(first[setting]))


def test_simulated_frequencies_are_near_the_published() -> None:
    count = 40_000
    for place in SUPER:
        dosages, male = Simulated(mix={place: 1.0}).genotypes(3, 0, count)  # type: ignore[dict-item]
        frequency = hirisplex.model().frequency[place]
        error = np.sqrt(frequency * (1 - frequency) / (2 * count))
        assert (abs(dosages.mean(axis=0) / 2 - frequency) <= 5 * error).all()
        heterozygous = (dosages == 1).mean(axis=0)
        assert (abs(heterozygous - 2 * frequency * (1 - frequency)) < 0.015).all()
        assert abs(male.mean() - 0.5) < 0.015


def test_simulated_mix() -> None:
    blue = PAPER.columns.index("eye:blue")
    chance = {}
    for place in SUPER:
        source = Simulated.model_validate({"count": 20_000, "mix": {place: 1}})
        chance[place] = np.exp(source.build(0).log_p[:, blue]).mean()
    half = np.exp(Simulated(count=20_000, mix={"EUR": 2, "AFR": 2, "SAS": 0}).build(0).log_p[:, blue]).mean()
    assert chance["EUR"] > 0.3
    assert half == pytest.approx((chance["EUR"] + chance["AFR"]) / 2, abs=0.02)
    real = np.exp(ThousandGenomes().build(0).log_p[:, blue]).mean()
    assert np.exp(Simulated(count=20_000).build(0).log_p[:, blue]).mean() == pytest.approx(real, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 20_000), st.integers(0, 2**64))
def test_simulated_people_do_not_depend_on_how_many_there_are(count: int, seed: int) -> None:
    few, many = Simulated(count=count).build(seed), Simulated(count=20_000).build(seed)
    np.testing.assert_array_equal(few.log_p, many.log_p[:count])
    np.testing.assert_array_equal(few.ids, many.ids[:count])


def test_simulated_people_do_not_depend_on_the_block() -> None:
    source = Simulated()
    whole, sexes = source.genotypes(7, 0, 1000)
    part, some = source.genotypes(7, 123, 456)
    np.testing.assert_array_equal(part, whole[123:456])
    np.testing.assert_array_equal(some, sexes[123:456])
    assert (source.genotypes(8, 0, 1000)[0] != whole).any()


@pytest.mark.slow
def test_numbered_ids() -> None:
    assert numbered("sim", 3).tolist() == [b"sim0000001", b"sim0000002", b"sim0000003"]
    many = numbered("p", 10_000_002)
    assert many[[0, 9_999_998, 9_999_999, 10_000_001]].tolist() == [
        b"p0000001",
        b"p9999999",
        b"p10000000",
        b"p10000002",
    ]


@pytest.mark.parametrize("mix", [{}, {"EUR": 0.0}, {"EUR": -1.0, "AFR": 2.0}, {"EUR": float("nan")}, {"MARS": 1.0}])
def test_simulated_refuses_a_mix_that_cannot_be(mix: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Simulated.model_validate({"count": 5, "mix": mix})
