"""What cells of an entry are, whatever they are called: as the entry records its plugins, budgets and their code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from linkbench.api.budget import Budget
from linkbench.leaderboard.entry import CellRecord, Entry
from linkbench.leaderboard.protocol import row_key
from linkbench.plan.facts import NOTHING, yardstick

OURS, CONTROLS = "linkbench", ("none", "noise")
"""Only controls that come with the toolkit are what others are measured by."""


NO_POISON = {"kind": "defender", "name": NOTHING, "params": {}, "label": NOTHING}


def poisons_of(scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The poisons of a resolved scenario; where a task has none, the one that changes nothing."""
    return scenario["poisons"] or [NO_POISON]


class CellFacts(NamedTuple):
    """poison, defender: as the scenario of the entry resolved them; yardstick: `none`, `noise` or empty; key: digest of
    both plugins, their parameters and their code."""

    poison: dict[str, Any]
    defender: dict[str, Any]
    budget: Budget
    poison_budget: Budget
    yardstick: str
    key: str

    @property
    def unpoisoned(self) -> bool:
        """Whether the attacker trained on photos as they were."""
        return bool(self.poison["name"] == NOTHING)

    @property
    def undefended(self) -> bool:
        """Whether the photos that are linked are as they were, but for the channel."""
        return bool(self.defender["name"] == NOTHING)


class Plugins:
    """The plugins of an entry by the names that its cells have for them."""

    def __init__(self, entry: Entry) -> None:
        self.poisons = {spec["label"]: spec for spec in poisons_of(entry.scenario)}
        self.defenders = {(spec["label"], spec["params"].get("epsilon")): spec for spec in entry.scenario["defenders"]}
        self.codes = entry.codes()
        self.ours = {(plugin.kind, plugin.use) for plugin in entry.plugins if plugin.distribution == OURS}

    def know(self, cell: CellRecord) -> bool:
        """Whether the scenario of the entry plays this poison and this defender."""
        return cell.poison in self.poisons and (cell.defender, cell.epsilon) in self.defenders

    def of(self, cell: CellRecord) -> CellFacts:
        """Raises KeyError for a cell of which the scenario knows nothing."""
        poison, defender = self.poisons[cell.poison], self.defenders[cell.defender, cell.epsilon]
        control = defender["name"] in CONTROLS and (defender["kind"], defender["name"]) in self.ours
        return CellFacts(
            poison,
            defender,
            cell.budget.budget(),
            cell.poison_budget.budget(),
            yardstick(control, poison["name"] == NOTHING, defender["name"] == NOTHING),
            row_key(poison, defender, self.codes),
        )
