"""Sealed opponents and surrogates: nobody sees the former, nobody links with the latter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linkbench.errors import ScenarioError
from linkbench.leaderboard.protocol import opponents
from linkbench.plan.builder import Plan, Step
from linkbench.plan.facts import CellFacts
from linkbench.plan.make import make_plan
from linkbench.scenario.file import Scenario
from linkbench.scenario.load import load_scenario, parse_scenario
from linkbench.scenario.yaml import parse_yaml

HEAD = """\
linkbench: 1
name: a
genomes: {use: simulated, count: 30}
cohort: {use: rendered, count: 20, size: 32}
"""
SEALED = "{name: theirs, architecture: resnet, sealed: true}"
GUESS = "{name: guess, role: surrogate}"


def load(text: str) -> Scenario:
    return parse_scenario(parse_yaml("s.yaml", text))


def problems(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(HEAD + text)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f"models: [standard-net, {SEALED}]\ndefenders: [{{use: joint-pgd, knowledge: theirs}}]\n",
            "6:1: defenders: joint-pgd: knowledge names the sealed model 'theirs'; let it see 'standard-net'",
        ),
        (
            f"models: [small-cnn, {SEALED}]\ndefenders: [joint-pgd]\n",
            "6:1: defenders: joint-pgd: knowledge 'white-box' is the network it meets, and 'theirs' is sealed; let it",
        ),
        (
            f"models: [small-cnn, {SEALED}]\ndefenders: [{{use: joint-pgd, knowledge: other-seed}}]\n",
            "6:1: defenders: joint-pgd: knowledge 'other-seed' is trained like the network it meets, and 'theirs' is",
        ),
        (
            f"models: [{SEALED}]\npoisons: [targeted-poison]\n",
            "6:1: poisons: targeted-poison at 0.03137: knowledge 'white-box' is the network it meets, and 'theirs' is "
            "sealed; add a model with 'role: surrogate'",
        ),
        (
            f"models:\n  - {SEALED}\n  - {{name: later, architecture: resnet, start: theirs}}\n",
            "7:41: models[1].start: 'theirs' is sealed, and whoever sees this model sees its weights; say 'sealed",
        ),
        (
            "models: [{name: x, sealed: true, role: surrogate}]\n",
            "5:10: models[0]: a surrogate is there to be seen, so it cannot be sealed; leave one of the two out",
        ),
        (f"models: [{GUESS}]\n", "5:1: models: all of them are surrogates, so there is none to link with"),
        ("models: [{name: x, role: judge}]\n", "5:20: models[0].role: must be 'opponent' or 'surrogate'"),
    ],
    ids=["by name", "white box", "other seed", "poison", "weights", "both", "nobody links", "role"],
)  # fmt: skip
def test_what_breaks_a_seal_is_refused_with_its_place(text: str, says: str) -> None:
    text = text.replace("standard-net", "{name: standard-net}")
    found = problems(text)
    assert any(says in problem for problem in found), found


def test_defenders_that_look_at_no_network_are_no_danger_to_a_seal() -> None:
    scenario = load(HEAD + f"models: [{SEALED}]\ndefenders: [none, noise, blur]\n")
    assert {cell.facts.seen for cell in make_plan(scenario).cells} == {()}


def test_identification_has_seals_too() -> None:
    text = HEAD.replace("genomes: {use: simulated, count: 30}", "task: identification") + f"models: [{SEALED}]\n"
    with pytest.raises(ScenarioError, match="'theirs' is sealed"):
        load(text + "defenders: [fawkes]\n")


def ancestry(plan: Plan, step: Step) -> list[Step]:
    """A step and all that went into it."""
    return [step, *(before for id_ in step.inputs.values() for before in ancestry(plan, plan.steps[id_]))]


def test_surrogates_have_no_cells_and_sealed_models_never_go_into_a_photo() -> None:
    scenario = load(
        HEAD
        + f"models: [{GUESS}, small-cnn, {SEALED}]\n"
        + "defenders: [none, {use: joint-pgd, knowledge: [guess, small-cnn, [guess, small-cnn]]}]\n"
        + "poisons: [none, {use: targeted-poison, knowledge: guess}]\n"
        + "attackers: [predicted, {use: likelihood, learns: protected}]\n"
    )
    plan = make_plan(scenario)
    assert {cell.model for cell in plan.cells} == {"small-cnn", "theirs"}
    made = [step for step in plan.steps.values() if step.stage in ("protect", "poison")]
    assert made
    for step in made:
        trained = [each.specs["architecture"].name for each in ancestry(plan, step) if each.stage == "train"]
        assert "resnet" not in trained
    seen = {(cell.defender, cell.poison): cell.facts.seen for cell in plan.cells if cell.model == "theirs"}
    assert seen["none", "none"] == ()
    assert {seen[defender, poison] for defender, poison in seen if poison == "none" and defender != "none"} == {
        ("guess",), ("small-cnn",), ("guess", "small-cnn"),
    }  # fmt: skip
    assert all("guess" in own for (_, poison), own in seen.items() if poison != "none")
    one = plan.cells[-1].facts
    assert CellFacts.from_json(one.to_json()) == one


def test_facts_say_that_a_defence_saw_its_opponent() -> None:
    text = (
        HEAD + "models: [small-cnn, {name: other}]\ndefenders: [{use: joint-pgd, knowledge: [white-box, other-seed]}]\n"
    )
    seen = {(cell.model, cell.facts.seen) for cell in make_plan(load(text)).cells}
    assert seen == {
        ("small-cnn", ("small-cnn",)), ("small-cnn", ("other seed of small-cnn",)),
        ("other", ("other",)), ("other", ("other seed of other",)),
    }  # fmt: skip


def test_facts_without_what_was_seen_are_read() -> None:
    facts: dict[str, Any] = make_plan(load(HEAD + "models: [small-cnn]\n")).cells[0].facts.to_json()
    del facts["seen"]
    assert CellFacts.from_json(facts).seen == ()


def test_boards_do_not_ask_for_surrogates() -> None:
    scenario = load(HEAD + f"models: [{GUESS}, {SEALED}]\nattackers: [predicted]\n").resolved()
    assert list(opponents(scenario, {"predicted": ["variants"]}).models) == ["theirs"]


def test_the_shipped_transfer_scenario_judges_decoys_by_a_sealed_network() -> None:
    scenario = load_scenario(Path(__file__).parent.parent / "scenarios" / "decoy-transfer.yaml")
    assert [model.name for model in scenario.models if model.sealed] == ["unseen"]
