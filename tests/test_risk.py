"""The risk of a photo: what a scenario says of the same photo and genome; file names do nothing to a page."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from conftest import Finished
from genotype_export import export, people

import linkbench
from linkbench import InputError
from linkbench.api.data import MISSING, Array, Cohort, Genomes
from linkbench.api.schema import PAPER
from linkbench.attackers.bayes import normalised
from linkbench.cohorts.faces import render
from linkbench.execution.predictor import train_predictor
from linkbench.execution.run import Run
from linkbench.genomes import hirisplex
from linkbench.genomes.genotype_files import reader
from linkbench.genomes.simulated import Simulated
from linkbench.genomes.thousand_genomes import ThousandGenomes
from linkbench.metrics.ranking import Ranks, success_curves
from linkbench.plan.make import make_plan
from linkbench.plan.training import plan_training
from linkbench.risk import curves as risk_curves
from linkbench.risk.assess import assess
from linkbench.risk.person import FITTING, Pile, fitting, known_phenotypes, of_genotype
from linkbench.risk.reading import VIEWS, pool
from linkbench.scenario.load import parse_scenario
from linkbench.scenario.yaml import parse_yaml
from linkbench.store import tensorfile
from linkbench.store.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

SCENARIO = """
linkbench: 1
name: small
seed: 3
cohort: {use: rendered, count: 60, size: 32}
genomes: {use: simulated, count: 300}
models: [{name: plain, architecture: {use: small-cnn, width: 4}, recipe: {use: standard, epochs: 6}}]
attackers: predicted
measure: {top_k: [1, 10], sizes: [10, 100, 300], resamples: 100}
"""


def save(photo: Array, path: Path) -> Path:
    PIL.Image.fromarray(np.asarray(photo).transpose(1, 2, 0)).save(path)
    return path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder with it.safetensors, and a run of the scenario that it was trained in."""
    folder = tmp_path_factory.mktemp("risk")
    scenario, store = parse_scenario(parse_yaml("scenario", SCENARIO)), Store(folder / "store")
    training = plan_training(scenario, None)
    made = train_predictor(
        scenario, training, Run(training.plan, store), contextlib.nullcontext(None), title="tiny", licence=""
    )
    tensorfile.write(folder / "it.safetensors", made)
    run = Run(make_plan(scenario), store)
    run.execute()
    cohort = Cohort.of(run.artefact(run.plan.cells[0].steps["cohort"]))
    for number in range(4):
        save(np.asarray(cohort.photos)[number], folder / f"p{number}.png")
    return folder, run


def test_a_person_is_told_what_a_scenario_says(played: tuple[Path, Run], tmp_path: Path) -> None:
    """The same photo, genome, pile and predictor: the same ranks and chances, to the digit."""
    folder, run = played
    steps = run.plan.cells[0].steps
    cohort, genomes = Cohort.of(run.artefact(steps["cohort"])), Genomes.of(run.artefact(steps["genomes"]))
    rank, said = run.artefact(steps["rank"]), run.artefact(steps["predict"])
    ranks = Ranks(rank.array("better"), rank.array("tied"))
    there = success_curves(ranks, 300, [1, 10], [10, 100, 300])
    for number, row in enumerate(rank.array("photo")[:6]):
        photo = save(np.asarray(cohort.photos)[row], tmp_path / f"{row}.png")
        found = assess([photo], aligned=True, predictors=[folder / "it.safetensors"], people=100)
        reading = found.readings[0]
        np.testing.assert_allclose(reading.pooled, said.array("probabilities")[number], rtol=0, atol=1e-6)
        pile = Pile(genomes, cohort.truth[[row]], cohort.labels[row], "here")
        curve = risk_curves.curves(reading, pile)[0]
        assert [point.size for point in curve.points] == [10, 100, 300]
        for place, point in enumerate(curve.points):
            assert [point.success[k].value for k in (1, 10)] == there[:, place, number].tolist()
        assert curve.points[-1].rank.value == ranks.expected[number]


def test_who_knows_the_sex_alone_has_a_pile_of_one_sex() -> None:
    genomes = Simulated(count=400).build(0)
    women = int((genomes.log_p[:, 0] == 0).sum())
    known = known_phenotypes({"sex": "female"}, PAPER)
    pile = Pile(genomes, np.flatnonzero(genomes.log_p[:, 0] == 0)[:1], known, "")
    curve = risk_curves.demographics(pile)
    assert curve is not None
    assert curve.points[-1].success[1].value == pytest.approx(1 / women)
    assert curve.points[-1].rank.value == pytest.approx((women + 1) / 2)
    assert risk_curves.demographics(pile._replace(known=known_phenotypes({}, PAPER))) is None


def test_genomes_that_fit_are_drawn_as_likely_as_they_are() -> None:
    genomes = Simulated(count=3000).build(1)
    known = known_phenotypes({"sex": "male", "eye": "blue", "hair": "blonde", "skin": "pale"}, PAPER)
    table = normalised(genomes)
    weight = np.prod([table[:, span.start + known[p]] for p, span in enumerate(PAPER.slices.values())], axis=0)
    drawn = np.bincount(fitting(genomes, known, np.ones(11), 0).own, minlength=3000) / FITTING
    assert np.abs(np.cumsum(drawn - weight / weight.sum())[np.argsort(-weight)]).max() < 0.15
    assert abs((drawn * table[:, 8]).sum() - (weight * table[:, 8]).sum() / weight.sum()) < 0.01
    assert np.abs(drawn - weight / weight.sum()).max() <= 1 / FITTING


def test_what_is_not_told_is_read() -> None:
    genomes = Simulated(count=3000).build(1)
    read = np.full(11, 1e-9)
    read[[0, 2, 7, 10]] = 1.0
    same = known_phenotypes({"sex": "female", "hair": "black", "eye": "brown", "skin": "dark"}, PAPER)
    nothing = np.full(4, MISSING)
    by_reading, by_word = fitting(genomes, nothing, read, 5), fitting(genomes, same, read, 5)
    assert np.array_equal(by_reading.own, by_word.own)
    assert "read from the photos" in by_reading.how
    assert "told" in by_word.how


def test_pooling_copies_changes_nothing() -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(2), 1)
    one = np.concatenate([values, *[np.random.default_rng(n).dirichlet(np.ones(3), 1) for n in range(3)]], axis=1)
    np.testing.assert_allclose(pool(np.repeat(one, 5, axis=0), PAPER), one[0], rtol=1e-12)
    assert pool(one, PAPER) is not None
    assert (pool(one, PAPER) == one[0]).all()


def test_a_genotype_is_put_into_the_pile(played: tuple[Path, Run], tmp_path: Path) -> None:
    """The row of a person of the 1000 Genomes Project is the one that genomes 'thousand-genomes' has."""
    folder, _ = played
    file = tmp_path / "genome.txt"
    file.write_bytes(export("23andMe", 37, people()["HG00096"]))
    told = reader.read(file)
    pile = of_genotype(Simulated(count=99).build(0), told.dosages, known_phenotypes({}, PAPER), told.sex.sex, file)
    everybody = ThousandGenomes().build(0)
    row = everybody.ids.tolist().index(b"HG00096")
    np.testing.assert_allclose(pile.genomes.log_p[pile.own[0]], everybody.log_p[row], rtol=1e-12)
    assert (len(pile.genomes), pile.own.tolist()) == (100, [99])
    risk = linkbench.assess_risk(
        folder / "p0.png", genotype=file, aligned=True, predictors=[folder / "it.safetensors"], people=1000
    )
    assert risk.people == 1000
    assert risk.demographics is not None
    assert "genome.txt" in risk.how


def test_a_genotype_without_a_sex_asks_for_it(tmp_path: Path) -> None:
    genomes, dosages = Simulated(count=99).build(0), np.ones(len(hirisplex.model().snps))
    with pytest.raises(InputError, match="--phenotypes sex=female"):
        of_genotype(genomes, dosages, known_phenotypes({}, PAPER), None, tmp_path / "it.txt")
    told = known_phenotypes({"sex": "female"}, PAPER)
    assert of_genotype(genomes, dosages, told, None, tmp_path / "it.txt").genomes.log_p[99, 0] == 0.0


def run_risk(run_cli: Callable[..., Finished], folder: Path, *more: Any) -> Finished:
    return run_cli("risk", *more, "--aligned", "--predictor", folder / "it.safetensors", "--people", 1000)


def test_the_command(played: tuple[Path, Run], run_cli: Callable[..., Finished], home: Path) -> None:
    folder, _ = played
    evil = home / "<img src=x onerror=y>.png"
    evil.write_bytes((folder / "p0.png").read_bytes())
    done = run_risk(
        run_cli,
        folder,
        evil,
        folder / "p1.png",
        "--phenotypes",
        "sex=female",
        "--page",
        "it.html",
        "--picture",
        "a.png",
    )
    assert done.status == 0
    assert "attacker demographics" in done.out
    assert "among the best 10" in done.out
    page = (home / "it.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert page.count("<script") == 2  # the numbers of the chart, and what draws it
    assert "default-src 'none'" in page
    assert "http" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).replace("http-equiv", "")
    with PIL.Image.open(home / "a.png") as picture:
        assert picture.size == (5 * 192, 2 * 192)
    told = json.loads(run_risk(run_cli, folder, folder / "p1.png", "--phenotypes", "sex=female", "--json").out)
    again = json.loads(run_risk(run_cli, folder, folder / "p1.png", "--phenotypes", "sex=female", "--json").out)
    assert told == again
    curve = told["predictors"][0]["found"][0]["piles"]
    assert [point["size"] for point in curve] == [10, 100, 1000]
    assert all(spread["low"] <= spread["value"] <= spread["high"] for point in curve
               for spread in (point["rank"], *point["success"].values()))  # fmt: skip
    assert {each["attacker"] for each in told["predictors"][0]["found"]} == {"predicted", "likelihood"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lost.png"], "there is no such file"),
        (["wide.png"], "is a square"),
        (["p0.png", "--phenotypes", "sex"], "NAME=VARIANT"),
        (["p0.png", "--phenotypes", "nose=big"], "no phenotype 'nose'"),
        (["p0.png", "--phenotypes", "eye=green"], "no variant 'green'"),
        (["p0.png", "--genotype", "lost.txt"], "lost.txt"),
        (["p0.png", "--sample", "me"], "name the file, too"),
        (["p0.png", "--page", "p0.png/it.html"], "cannot be written"),
    ],
)
def test_mistakes(
    played: tuple[Path, Run], run_cli: Callable[..., Finished], home: Path, arguments: list[str], said: str
) -> None:
    folder, _ = played
    (home / "p0.png").write_bytes((folder / "p0.png").read_bytes())
    PIL.Image.new("RGB", (64, 48)).save(home / "wide.png")
    done = run_risk(run_cli, folder, *arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_piles_and_photos_have_bounds(played: tuple[Path, Run]) -> None:
    folder, _ = played
    for wrong in ({"people": 10}, {"ancestry": "XYZ"}):
        with pytest.raises(InputError):
            assess([folder / "p0.png"], predictors=[folder / "it.safetensors"], **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="1 to 64 photos"):
        assess([], predictors=[folder / "it.safetensors"])


def test_views_are_other_shots_of_the_same_photo(played: tuple[Path, Run]) -> None:
    folder, _ = played
    reading = assess([folder / "p2.png"], aligned=True, predictors=[folder / "it.safetensors"], people=100).readings[0]
    assert reading.views.shape == (VIEWS, 11)
    np.testing.assert_allclose(reading.views[0], reading.pooled, atol=1e-6)
    assert np.abs(reading.views[1:] - reading.pooled).max() > 0
    assert reading.heat.shape == (1, 4, 32, 32)
    assert reading.heat.max() == 1.0
    assert reading.heat.min() >= 0


def test_faces_are_found_in_photos(played: tuple[Path, Run], tmp_path: Path) -> None:
    """A rendered face in a corner of a larger photo is cut out; a wall has none."""
    folder, _ = played
    face = render(torch.tensor([[1, 2, 2, 1]]), torch.tensor([3]), torch.tensor([0]), seed=1, size=256)[0].numpy()
    wall = np.full((3, 400, 700), 200, np.uint8)
    wall[:, 100:356, 400:656] = face
    large = assess([save(wall, tmp_path / "large.png")], predictors=[folder / "it.safetensors"], people=100).readings[0]
    shrunk = face.reshape(3, 32, 8, 32, 8).mean(axis=(2, 4))
    assert np.abs(large.photos[0].astype(float) - shrunk).mean() < 35
    save(np.full((3, 200, 200), 128, np.uint8), tmp_path / "wall.png")
    with pytest.raises(InputError, match="no face is found"):
        assess([tmp_path / "wall.png"], predictors=[folder / "it.safetensors"], people=100)


def test_a_phenotype_left_open_counts_for_nothing(played: tuple[Path, Run]) -> None:
    """A predictor that says nothing of sex must not be taken to say the first variant."""
    folder, _ = played
    found = assess([folder / "p0.png"], aligned=True, predictors=[folder / "it.safetensors"], people=100)
    reading = found.readings[0]
    views = reading.views.copy()
    views[:, :2] = 0.5
    blind = reading._replace(views=views, pooled=np.append([0.5, 0.5], reading.pooled[2:]))
    genomes = Simulated(count=400).build(0)
    woman, man = genomes.log_p[0].copy(), genomes.log_p[0].copy()
    woman[:2], man[:2] = (0.0, np.log(1e-7)), (np.log(1e-7), 0.0)
    table = Genomes(PAPER, genomes.ids, np.vstack([woman, man, genomes.log_p[2:]]))
    either = [
        risk_curves.curves(blind, Pile(table, np.array([row]), np.full(4, MISSING), ""))[0].points for row in (0, 1)
    ]
    assert either[0] == either[1]
