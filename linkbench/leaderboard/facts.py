"""What cells of an entry are, whatever they are called: as recorded, or in older entries as their parameters say."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.api.budget import Budget
from linkbench.leaderboard.entry import CellRecord, Entry
from linkbench.plan.facts import NOTHING, yardstick

CONTROLS = (NOTHING, "noise")
"""The controls of the time when entries did not record which plugins are controls."""


class CellFacts(NamedTuple):
    """poison, defender: as the scenario of the entry resolved them; yardstick: `none`, `noise` or empty."""

    poison: dict[str, Any]
    defender: dict[str, Any]
    budget: Budget
    poison_budget: Budget
    yardstick: str

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
        self.poisons = {spec["label"]: spec for spec in entry.scenario["poisons"]}
        self.defenders = {(spec["label"], spec["params"].get("epsilon")): spec for spec in entry.scenario["defenders"]}

    def know(self, cell: CellRecord) -> bool:
        """Whether the scenario of the entry plays this poison and this defender."""
        return cell.poison in self.poisons and (cell.defender, cell.epsilon) in self.defenders

    def of(self, cell: CellRecord) -> CellFacts:
        """Raises KeyError for a cell of which the scenario knows nothing."""
        poison, defender = self.poisons[cell.poison], self.defenders[cell.defender, cell.epsilon]
        control = defender["name"] in CONTROLS if cell.control is None else cell.control
        return CellFacts(
            poison,
            defender,
            _budget(defender) if cell.budget is None else cell.budget.budget(),
            _budget(poison) if cell.poison_budget is None else cell.poison_budget.budget(),
            yardstick(control, poison["name"] == NOTHING, defender["name"] == NOTHING),
        )


def _budget(spec: dict[str, Any]) -> Budget:
    """What an entry that records no budgets was measured by: epsilon, in the norm that the parameters name."""
    epsilon = spec["params"].get("epsilon")
    if epsilon is None:
        return Budget()
    return Budget("l2" if spec["params"].get("norm") == 2 else "linf", float(epsilon))
