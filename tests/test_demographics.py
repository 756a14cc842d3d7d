"""What a face adds over who one is: the baseline, candidates that are alike, and tables that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkbench.api.data import MISSING, TEST, Artefact, Cohort, Evidence, Genomes, strings
from linkbench.api.schema import PAPER
from linkbench.attackers.demographics import Demographics
from linkbench.attackers.predicted import GroundTruth
from linkbench.errors import InputError
from linkbench.genomes.misspecified import Misspecified
from linkbench.genomes.simulated import Simulated
from linkbench.genomes.thousand_genomes import ThousandGenomes
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.rows import alike_rows
from linkbench.metrics.scores import Scores
from linkbench.metrics.settings import Measure
from linkbench.plan.make import make_plan
from linkbench.results.folder import read
from linkbench.scenario.load import parse_scenario
from linkbench.scenario.yaml import parse_yaml
from linkbench.stages.alike import ranks_among_alike
from linkbench.stages.evidence import gather, own_scores, question
from linkbench.testing import conformance

PANEL = ThousandGenomes().build(0)


def some_people(count: int) -> tuple[Cohort, Artefact]:
    random = np.random.default_rng(0)
    truth = random.permutation(len(PANEL))[:count]
    labels = np.stack([PANEL.log_p[truth, span].argmax(axis=1) for span in PAPER.slices.values()], axis=1)
    labels[::7, 0] = MISSING
    people = Cohort(PAPER, strings([f"p{n}" for n in range(count)]), truth, labels, truth, np.full(count, TEST))
    uniform = np.concatenate([np.full((count, len(PAPER[name])), 1 / len(PAPER[name])) for name in PAPER], axis=1)
    return people, Artefact({"photo": np.arange(count), "probabilities": uniform}, {})


def test_sex_and_ancestry_leave_those_who_share_them() -> None:
    people, seen = some_people(30)
    for plugin, kinds in ((Demographics(), 1), (Demographics(ancestry=True), 2)):
        target = gather(plugin, people, seen, {}, 0, None, PANEL.ancestry)
        ranks = count_ranks(own_scores(plugin, PANEL, target))
        male = PANEL.log_p[:, :2].argmax(axis=1)
        _, region = np.unique(PANEL.ancestry, return_inverse=True)
        for photo, true in enumerate(people.truth):
            like = np.ones(len(PANEL), bool) if people.labels[photo, 0] == MISSING else male == male[true]
            like &= (region == region[true]) | (kinds == 1)
            assert (ranks.better[photo], ranks.tied[photo]) == (0, like.sum() - 1)


def test_genomes_without_ancestry_are_refused() -> None:
    evidence = Evidence(PAPER, 1, truth=np.zeros((1, 4), np.int64))
    with pytest.raises(InputError, match="these genomes come without it; use the genomes 'thousand-genomes'"):
        Demographics(ancestry=True).score(evidence, Simulated(count=9).build(0), None)


@pytest.mark.parametrize("case", conformance("attacker", "demographics", ancestry=True), ids=str)
def test_demographics_keep_the_rules(case: Any) -> None:
    case()


def test_ranks_among_alike_are_those_among_alike() -> None:
    people, seen = some_people(25)
    plugin = GroundTruth()
    target = gather(plugin, people, seen, {}, 0)
    ways = ["sex", "sex+ancestry", "eye"]
    asked = question(PANEL, target)
    found = ranks_among_alike(own_scores(plugin, PANEL, target), asked.place, PANEL, target.truth, ways)
    scores = plugin.score(target.evidence, PANEL, None)
    sex, eye = (PANEL.log_p[:, PAPER.slices[name]].argmax(axis=1) for name in ("sex", "eye"))
    _, region = np.unique(PANEL.ancestry, return_inverse=True)
    for photo, true in enumerate(people.truth):
        for way, like in enumerate([sex == sex[true], (sex == sex[true]) & (region == region[true]), eye == eye[true]]):
            rows = np.flatnonzero(like)
            alone = count_ranks(Scores.dense(scores[[photo]][:, rows], np.flatnonzero(rows == true)))
            assert found["alike_better"][way, photo] == alone.better[0]
            assert found["alike_tied"][way, photo] == alone.tied[0]
            assert found["alike_population"][way, photo] == like.sum()


def test_nobody_is_found_by_sex_among_the_same_sex() -> None:
    people, seen = some_people(40)
    known = np.flatnonzero(people.labels[:, 0] != MISSING)
    target = gather(Demographics(), people, seen, {}, 0, None, PANEL.ancestry)
    place, scores = question(PANEL, target).place, own_scores(Demographics(), PANEL, target)
    among = ranks_among_alike(scores, place, PANEL, target.truth, ["sex"])
    rank = Artefact({"identity": people.identity, **among}, {})
    rows = alike_rows(rank, Measure(top_k=[1], sizes=[10, 100], alike=["sex"], resamples=100), 0)
    assert len(known) < len(people)
    for row in rows:
        assert row["value"] == pytest.approx(row["k"] / row["n"])
        assert (row["ci_low"], row["ci_high"]) == (row["value"], row["value"])


def test_wrong_tables_bend_what_is_believed_and_nothing_else() -> None:
    inner = {"use": "simulated", "count": 50}
    true = Simulated(count=50).build(3)
    same = Misspecified(genomes=inner).build(3)
    np.testing.assert_allclose(same.log_p, true.log_p, atol=2e-7)  # but for the floor of impossible variants
    careful = Misspecified(genomes=inner, slope=0.5).build(3)
    shifted = Misspecified(genomes=inner, shift=1.0).build(3)
    for span in PAPER.slices.values():
        for table in (careful, shifted):
            np.testing.assert_allclose(np.exp(table.log_p[:, span]).sum(axis=1), 1.0)
        bent = 0.5 * (true.log_p[:, span] - true.log_p[:, [span.start]])
        np.testing.assert_allclose(careful.log_p[:, span] - careful.log_p[:, [span.start]], bent, atol=1e-9)
        moved = (shifted.log_p - true.log_p)[:, span]
        np.testing.assert_allclose(
            moved - moved[:, :1], np.broadcast_to((moved - moved[:, :1])[0], moved.shape), atol=1e-9
        )
    with pytest.raises(ValueError, match="cannot stand inside misspecified"):
        Misspecified(genomes={"use": "misspecified"})


HEAD = "linkbench: 1\nname: a\ncohort: {use: rendered, count: 20, size: 32}\nmodels: [small-cnn]\n"


def test_cohorts_and_training_know_the_truth_and_attackers_the_wrong_table() -> None:
    wrong = "{use: misspecified, genomes: {use: simulated, count: 60}, slope: 0.5}"
    genomes = f"genomes: [{{use: simulated, count: 60}}, {wrong}]\n"
    plan = make_plan(parse_scenario(parse_yaml("s.yaml", HEAD + genomes + "attackers: [predicted]\n")))
    assert len(plan.cells) == 2
    for stage in ("cohort", "train", "predict"):
        assert len({cell.steps[stage] for cell in plan.cells}) == 1, stage
    read_by = [
        plan.steps[plan.steps[cell.steps["rank"]].inputs["genomes"]].specs["genomes"].name for cell in plan.cells
    ]
    assert read_by == ["simulated", "misspecified"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("measure: {alike: [beard]}\n", "6:11: measure.alike: names 'beard', which the genomes simulated do not tell"),
        ("measure: {alike: [sex+ancestry]}\n", "they tell: sex, hair, eye, skin"),
    ],
)
def test_ways_to_be_alike_that_nobody_knows_are_refused(
    home: Path, run_cli: Callable[..., Any], text: str, says: str
) -> None:
    (home / "s.yaml").write_text(HEAD + "genomes: {use: simulated, count: 60}\n" + text)
    found = run_cli("validate", home / "s.yaml")
    assert found.status == 2
    assert says in found.err


def test_a_run_says_what_is_found_among_the_same_sex(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "s.yaml").write_text(
        "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\nattackers: [ground-truth, demographics]\n"
        "measure: {top_k: [1], sizes: [10, 50], resamples: 100, alike: [sex]}\n"
    )
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    found = {(r.attacker, r.metric): r.value for r in read(home / "out").rows if r.n == 10 and "success" in r.metric}
    assert found["ground-truth", "success:sex"] < found["ground-truth", "success"]
    assert found["demographics", "success"] == pytest.approx(0.2, abs=0.05)
    assert found["demographics", "success:sex"] == pytest.approx(0.1, abs=0.02)


def test_ancestry_is_stored_with_genomes_and_no_part_of_their_digest() -> None:
    bare = Genomes(PANEL.schema, PANEL.ids, PANEL.log_p)
    back = Genomes.of(PANEL.artefact())
    assert back.ancestry is not None
    np.testing.assert_array_equal(back.ancestry, PANEL.ancestry)
    assert Genomes.of(bare.artefact()).ancestry is None
    assert bare.content() == PANEL.content()
