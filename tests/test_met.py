"""Recipes without a tool of their own train a network for each defender that their model meets."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkbench.errors import InputError, ScenarioError
from linkbench.execution.run import Run
from linkbench.plan.builder import Plan
from linkbench.plan.make import make_plan
from linkbench.plan.training import plan_training
from linkbench.scenario.load import parse_scenario
from linkbench.scenario.yaml import parse_yaml
from linkbench.store.store import Store

SMALL = "architecture: {use: small-cnn, width: 2, depth: 2}"
HEAD = f"""\
linkbench: 1
name: met
cohort: {{use: rendered, count: 40, size: 32}}
genomes: {{use: simulated, count: 60}}
models:
  - {{name: standard, {SMALL}, recipe: {{use: standard, epochs: 1}}}}
  - {{name: knows, {SMALL}, start: standard, recipe: RECIPE}}
attackers: [predicted, {{use: likelihood, learns: protected}}]
measure: {{top_k: [1], sizes: [10], resamples: 100}}
"""
DEFENDERS = """\
defenders:
  - none
  - {use: noise, epsilon: 0.05}
  - {use: joint-pgd, epsilon: 0.05, steps: 1, knowledge: standard}
"""
TOOL = "{use: joint-pgd, epsilon: 0.05, steps: 1, knowledge: standard}"
OPEN = {
    "adaptive": "{use: adaptive, epochs: 1}",
    "best-of": "{use: best-of, defender: null, recipes: [pretrained, {use: jpeg, recipe: pretrained}]}",
    "inside": "{use: jpeg, recipe: {use: adaptive, epochs: 1}}",
    "among": "{use: best-of, recipes: [{use: adaptive, epochs: 1}, pretrained]}",
}
NAMED = {
    "adaptive": f"{{use: adaptive, defender: {TOOL}, epochs: 1}}",
    "best-of": f"{{use: best-of, defender: {TOOL}, recipes: [pretrained, {{use: jpeg, recipe: pretrained}}]}}",
    "inside": f"{{use: jpeg, recipe: {{use: adaptive, defender: {TOOL}, epochs: 1}}}}",
    "among": f"{{use: best-of, recipes: [{{use: adaptive, defender: {TOOL}, epochs: 1}}, pretrained]}}",
}


def plan(recipe: str, rest: str = DEFENDERS) -> Plan:
    return make_plan(parse_scenario(parse_yaml("s.yaml", HEAD.replace("RECIPE", recipe) + rest)))


@pytest.mark.parametrize("how", OPEN)
def test_it_is_the_recipe_that_names_the_tool(how: str) -> None:
    """What is met becomes the parameter: the steps behind a cell are those of the recipe with that tool."""
    each, one = plan(OPEN[how]), plan(NAMED[how])
    trained = {(cell.model, cell.defender): cell.steps["train"] for cell in each.cells}
    assert len({step for (model, _), step in trained.items() if model == "knows"}) == 3, "one network for each"
    assert len({step for (model, _), step in trained.items() if model == "standard"}) == 1
    steps = {(cell.model, cell.defender, cell.attacker): cell.steps for cell in one.cells}
    for cell in each.cells:
        if cell.model == "standard" or cell.defender == "joint-pgd":
            same = steps[cell.model, cell.defender, cell.attacker]
            told = ("measure",) if cell.model == "knows" else ()  # compared with another network's undefended photos
            assert {k: v for k, v in cell.steps.items() if k not in told} == {
                k: v for k, v in same.items() if k not in told
            }


def test_a_poison_is_met_where_nobody_defends() -> None:
    poisons = "poisons: [none, {use: noise, epsilon: 0.1}]\n" + DEFENDERS
    found = plan(OPEN["adaptive"], poisons)
    met = {
        (cell.poison, cell.defender): found.steps[cell.steps["train"]].specs["recipe"].params["defender"]["use"]
        for cell in found.cells
        if cell.model == "knows"
    }
    assert {met[poison, "none"] for poison, _ in met if poison != "none"} == {"noise"}
    assert met["none", "none"] == "none"
    assert {tool for (_, defender), tool in met.items() if defender == "joint-pgd"} == {"joint-pgd"}


def test_identification_meets_them_too() -> None:
    text = f"""\
linkbench: 1
name: met
task: identification
cohort: {{use: rendered, count: 80, per_identity: 4, size: 32}}
models:
  - {{name: own, {SMALL}, recipe: {{use: embedding, epochs: 1}}}}
  - {{name: knows, {SMALL}, start: own, recipe: {{use: adaptive-embedding, epochs: 1}}}}
defenders: [none, {{use: fawkes, steps: 1, knowledge: own}}]
"""
    found = make_plan(parse_scenario(parse_yaml("s.yaml", text)))
    assert len({cell.steps["train"] for cell in found.cells if cell.model == "knows"}) == 2


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (f"  - {{name: later, {SMALL}, start: knows}}\n", "another model starts from it"),
        ("", "a surrogate meets nobody"),
        ("", "a defender is to see it by its name"),
    ],
)
def test_where_one_network_is_needed_it_is_refused(more: str, why: str) -> None:
    text = (HEAD.replace("RECIPE", "adaptive") + DEFENDERS).replace("attackers:", f"{more}attackers:")
    if "surrogate" in why:
        text = text.replace("recipe: adaptive", "recipe: adaptive, role: surrogate")
    if "see it" in why:
        text = text.replace("knowledge: standard", "knowledge: knows")
    with pytest.raises(ScenarioError, match=f"knows: its recipe trains a network for each.*{why}"):
        parse_scenario(parse_yaml("s.yaml", text))


def test_a_predictor_meets_nobody() -> None:
    scenario = parse_scenario(parse_yaml("s.yaml", HEAD.replace("RECIPE", "adaptive") + DEFENDERS))
    with pytest.raises(InputError, match="a predictor meets nobody"):
        plan_training(scenario, "knows")


@pytest.mark.slow
def test_each_network_learns_from_its_own_tool(tmp_path: Path) -> None:
    found = plan(OPEN["adaptive"])
    run = Run(found, Store(tmp_path))
    assert not run.execute().failures
    weights = {cell.defender: run.artefact(cell.steps["train"]).arrays for cell in found.cells if cell.model == "knows"}
    some = next(name for name, array in weights["none"].items() if array.ndim > 1)
    assert len({bytes(arrays[some]) for arrays in weights.values()}) == 3


@pytest.mark.parametrize("inside", [False, True])
def test_all_tools_of_a_scenario_can_be_adapted_to_at_once(inside: bool) -> None:
    noise = "{use: noise, epsilon: 0.05}"
    mixtures = (f"{{use: adaptive, {how}, epochs: 1}}" for how in ("to: all", f"tools: [{noise}, {TOOL}], to: all"))
    every, listed = (plan(f"{{use: jpeg, recipe: {each}}}" if inside else each) for each in mixtures)
    trained = {cell.steps["train"] for cell in every.cells if cell.model == "knows"}
    assert len(trained) == 1, "one network, whoever is met"
    assert trained == {cell.steps["train"] for cell in listed.cells if cell.model == "knows"}
    with pytest.raises(ScenarioError, match="must be 'named' or 'all'"):
        plan("{use: adaptive, to: some}")
