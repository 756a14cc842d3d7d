"""The protocols that come with the toolkit: scenarios without defences, with names and versions that never change."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any, NamedTuple

from linkbench.errors import InputError
from linkbench.leaderboard.protocol import Rules, looks, model_keys, use_key, who_links
from linkbench.scenario.file import Scenario
from linkbench.scenario.load import parse_scenario
from linkbench.scenario.yaml import parse_yaml

FOLDER = files("linkbench.leaderboard") / "protocols"

RULES = "rules.yaml"


class Named(NamedTuple):
    """A protocol with its scenario, whose defences are the controls alone."""

    rules: Rules
    scenario: Scenario


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all protocols."""
    return tuple(parse_yaml(RULES, (FOLDER / RULES).read_text("utf-8")).data)


def scenario_text(name: str) -> str:
    """The scenario as it is written. Raises InputError for an unknown name."""
    if name not in names():
        raise InputError(f"there is no protocol {name!r}; there are: {', '.join(names())}")
    return (FOLDER / f"{name}.yaml").read_text("utf-8")


@functools.cache
def named(name: str) -> Named:
    """A protocol by its name. Raises InputError for an unknown one."""
    text = scenario_text(name)
    rules = parse_yaml(RULES, (FOLDER / RULES).read_text("utf-8")).data[name]
    budgets = [_fraction(bound) for bound in rules["budgets"]]
    scenario = parse_scenario(parse_yaml(f"{name}.yaml", text))
    return Named(Rules(name=name, least_ssim=rules["least_ssim"], budgets=budgets), scenario)


def _fraction(text: str) -> float:
    over, _, under = text.partition("/")
    return float(over) / float(under)


def fits(scenario: dict[str, Any], name: str, sees: dict[str, list[str]]) -> bool:
    """Whether a resolved scenario plays a protocol: its people, seeds, split and metrics, and at least its opponents.

    sees: by label what an attacker is shown. Paths of user's files may be others.
    """
    wanted = named(name).scenario.resolved()
    told = {label: "truth" in seen for label, seen in sees.items() if looks(seen)}
    return (
        all(scenario.get(part) == wanted.get(part) for part in ("task", "seeds", "split", "gallery", "measure"))
        and [_without_paths(spec) for spec in scenario["cohort"]] == [_without_paths(spec) for spec in wanted["cohort"]]
        and [_without_paths(spec) for spec in scenario["genomes"]]
        == [_without_paths(spec) for spec in wanted["genomes"]]
        and set(model_keys(wanted["models"]).values()) <= set(model_keys(scenario["models"]).values())
        and {use_key(spec) for spec in who_links(wanted)}
        <= {use_key(spec) for spec in who_links(scenario) if spec["label"] in told}
    )


def _without_paths(spec: dict[str, Any]) -> list[Any]:
    return [spec["name"], {key: value for key, value in spec["params"].items() if key != "path"}]


def played(scenario: dict[str, Any], sees: dict[str, list[str]]) -> Named | None:
    """The protocol that a resolved scenario plays, if it plays one."""
    return next((named(name) for name in names() if fits(scenario, name, sees)), None)


def opponents_of(name: str) -> tuple[set[str], set[str]]:
    """Digests of the models and attackers that a protocol asks for."""
    wanted = named(name).scenario.resolved()
    return set(model_keys(wanted["models"]).values()), {use_key(spec) for spec in who_links(wanted)}
