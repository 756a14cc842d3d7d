"""The ladder: which step an attacker stands on, what breaks a defence, and what the report says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkbench.api.data import Artefact
from linkbench.plan.make import make_plan
from linkbench.report import ladder
from linkbench.results import ladders
from linkbench.results.cells import Value
from linkbench.results.conclusions import Reached
from linkbench.results.folder import read
from linkbench.results.ladders import STEPS, Climb, Rung, climb, step_of
from linkbench.results.verdicts import Protection
from linkbench.scenario.load import parse_scenario
from linkbench.scenario.yaml import parse_yaml

SCENARIO = """\
linkbench: 1
name: tiny
cohort: {use: rendered, count: 60, size: 32}
genomes: {use: simulated, count: 80}
models:
  - {name: standard, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 2}}
  - {name: later, architecture: {use: resnet, shared: true, width: 2}, recipe: {use: standard, epochs: 1}}
  - {name: cleaned, start: standard, recipe: {use: best-of, recipes: [pretrained, {use: blur, recipe: pretrained}]},
     architecture: {use: small-cnn, width: 2}}
  - {name: knows, start: standard, recipe: {use: adaptive, defender: {use: joint-pgd, steps: 1}, epochs: 1},
     architecture: {use: small-cnn, width: 2}}
defenders: [none, noise, blur, {use: joint-pgd, knowledge: standard, steps: 1, epsilon: 0.03}]
attackers: [predicted, {use: likelihood, learns: [clean, protected]}, ground-truth, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


def steps(text: str) -> dict[tuple[str, str, str], str]:
    """By model, defender and attacker."""
    scenario = parse_scenario(parse_yaml("s.yaml", text))
    models = {model.name: model for model in scenario.models}
    learns = {spec.label: spec.plugin().learns_from() for spec in scenario.specs["attackers"]}
    return {
        (cell.model, cell.defender, cell.attacker): step_of(
            cell.facts, models[cell.model], models, learns[cell.attacker]
        )
        for cell in make_plan(scenario).cells
    }


def test_every_attacker_stands_on_a_step() -> None:
    found = steps(SCENARIO)
    of = {(model, attacker): found[model, "joint-pgd", attacker] for model, defender, attacker in found}
    assert of["standard", "predicted"] == "believes"
    assert of["standard", "likelihood(learns=clean)"] == "clean"
    assert of["standard", "likelihood(learns=protected)"] == "protected"
    assert {of["later", attacker] for attacker in ("predicted", "likelihood(learns=protected)")} == {"unseen"}
    assert of["cleaned", "predicted"] == "cleaned"
    assert of["knows", "predicted"] == "retrained"
    assert found["knows", "blur", "predicted"] == "believes", "it was trained on another tool's output"
    assert found["later", "blur", "predicted"] == "believes", "a defence that sees no network knows none from another"
    assert set(of.values()) == set(STEPS)
    each = steps(SCENARIO.replace("{use: adaptive, defender: {use: joint-pgd, steps: 1}, epochs: 1}", "adaptive"))
    assert {each["knows", tool, "predicted"] for tool in ("noise", "blur", "joint-pgd")} == {"retrained"}
    behind = SCENARIO.replace("defenders:", "  - {name: after, start: knows, recipe: pretrained, "
                            "architecture: {use: small-cnn, width: 2}}\ndefenders:")  # fmt: skip
    assert steps(behind)["after", "joint-pgd", "predicted"] == "retrained", "what it started from counts"


def cell(step: str, defender: str, attacker: str, id_: str, **facts: Any) -> dict[str, Any]:
    names = {"model": "small-cnn", "attacker": attacker, "poison": "none", "channel": "float", "genomes": "g"}
    plugins = {"cohort": "rendered", **names, "defender": defender}
    budget = {"norm": "none", "radius": None, "ceiling": None}
    return {
        "id": id_, "step": step, "cohort": "c", "genomes": "g", "model": "m", "poison": "none", "defender": defender,
        "epsilon": None, "channel": "float", "attacker": attacker, "seed": 0, "failed": None,
        "facts": {"plugins": plugins, "control": defender in ("none", "noise"), "budget": budget,
                  "poison_budget": budget, "eight_bit": False, "seen": ["m"]},
    }  # fmt: skip


def made(ranks: dict[tuple[str, str, str], int]) -> list[ladders.Ladder]:
    """A ladder of 60 people: by step, defender and attacker the rank of the true genome of most of them."""
    cells, files = [], {}
    for number, ((step, defender, attacker), better) in enumerate(ranks.items()):
        cells.append(cell(step, defender, attacker, f"c{number}"))
        places = np.full(60, better)
        places[::9] = 40
        files[f"c{number}"] = Artefact(
            {"identity": np.arange(60), "better": places, "tied": np.zeros(60, int)}, {"population": 100}
        )
    scenario = {"measure": {"top_k": [1], "sizes": [10], "resamples": 100}, "models": [{}]}
    sees = {attacker: ["variants"] for _, _, attacker in ranks}
    return climb(scenario, cells, sees, Reached(lambda id_: files[id_]))


def test_a_defence_falls_at_the_first_step_that_nothing_shows_it_holds() -> None:
    (found,) = made(
        {("believes", "none", "a"): 3, ("protected", "none", "b"): 0, ("believes", "pgd", "a"): 90,
         ("clean", "pgd", "b"): 60, ("protected", "pgd", "c"): 0, ("retrained", "pgd", "b"): 30,
         ("believes", "wall", "a"): 70, ("unseen", "wall", "b"): 50, ("believes", "noise", "a"): 0}
    )  # fmt: skip
    assert found.plain is not None
    assert found.plain.attacker == "b on m"
    pgd, wall = found.climbs
    assert [rung.step for rung in pgd.rungs] == ["believes", "clean", "protected", "retrained"]
    assert [rung.verdict for rung in pgd.rungs] == ["less", "less", "open", "less"]
    assert pgd.broken_by == pgd.headline == pgd.rungs[2]
    assert pgd.missing == ["cleaned", "unseen"]
    assert wall.broken_by is None
    assert wall.headline.step == "unseen"
    assert ladders.from_json(ladders.to_json([found])) == [found]
    (said,) = ladder.sentences([found])
    assert said == (
        "On the ladder of attackers (table below) wall holds off every step that was played. Not played: cleaned."
    )
    weaker = found._replace(climbs=(found.climbs[0],))
    (nobody,) = ladder.sentences([found, weaker])
    assert "no defence is shown to hold off every step that was played" in nobody


def test_without_a_comparison_nothing_is_said_to_hold() -> None:
    (found,) = made({("believes", "pgd", "a"): 90, ("clean", "pgd", "b"): 60})
    assert found.plain is None
    assert [rung.verdict for rung in found.climbs[0].rungs] == [None, None]
    assert ladder.sentences([found]) == []


def test_tables_have_no_column_of_a_step_that_nobody_played() -> None:
    rung = Rung("protected", "b on m", Value(0.4, 0.3, 0.5), "more")
    climbs = tuple(
        Climb(protection, (rung,)) for protection in (Protection("", "pgd", 0.01), Protection("p", "", None))
    )
    place = {"cohort": "c", "genomes": "g", "channel": "png"}
    one = ladders.Ladder(place, ladders.Question(1, 100), rung, climbs)
    found = ladder.tables([one], "95%")
    assert found is not None
    (matrix,) = found.tables
    names, rows = zip(*matrix.rows, strict=True)
    assert names == ("pgd, ε 0.01", "poison p")
    assert matrix.attackers == ["calibrated on protected photos", "headline", "first step not shown to be held"]
    assert "; not played: believes the predictors, calibrated on clean photos, cleaned, another n" in found.text
    assert None not in rows[0]
    assert rows[0][-1] is not None
    assert rows[0][-1].value == "calibrated on protected photos"
    assert ladder.tables([], "95%") is None
    said = ladder.lines([one, one._replace(place={**place, "channel": "jpeg"})])
    assert said is not None
    assert [heading for heading, _ in said.headings] == ["defence", "where", "protected", "falls at"]
    assert said.rows[2] == ["pgd, ε 0.01", "channel jpeg", "40.0", "protected"]
    assert ladder.lines([]) is None


@pytest.mark.slow
def test_a_run_climbs_the_ladder(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "s.yaml").write_text(SCENARIO)
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    (steps,) = read(home / "out").ladders()
    names = [climb.protection.defender for climb in steps.climbs]
    assert names == ["blur", "joint-pgd"]
    assert [rung.step for rung in steps.climbs[1].rungs] == list(STEPS)
    assert [rung.step for rung in steps.climbs[0].rungs] == ["believes", "clean", "protected", "cleaned"]
    page = (home / "out/report.html").read_text()
    assert "The ladder of attackers" in page
    assert "first step not shown to be held" in page
    (found,) = read(home / "out").transfer()
    assert found.networks == ("standard", "later", "cleaned", "knows")
    assert [reach.seen for reach in found.reaches] == [(), ("standard",)]
    assert all(one is not None for reach in found.reaches for one in reach.against)
    assert "Networks that defences saw against those of attackers" in page
    assert "(saw standard)" in page
    assert "On the ladder of attackers" in page
