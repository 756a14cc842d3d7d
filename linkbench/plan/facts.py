"""What a cell is, whatever a scenario calls its parts. Labels are for people; reports, flags and boards read facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from linkbench.api.base import Channel, Defender
from linkbench.api.budget import Budget
from linkbench.plan.coordinates import COORDINATES
from linkbench.registry.spec import Spec

NOTHING = "none"
"""The plugin that leaves photos as they are."""


class CellFacts(NamedTuple):
    """plugins: by coordinate the name of the plugin, of a model that of its architecture, "" where there is none.

    control: whether the defender is what defences are compared with; budget, poison_budget: what defender and poison
    may change; eight_bit: whether photos are published with 8 bits; seen: names of the models that poison and defender
    saw, with the words "other seed of" before one whose twin they saw.
    """

    plugins: dict[str, str]
    control: bool
    budget: Budget
    poison_budget: Budget
    eight_bit: bool
    seen: tuple[str, ...] = ()

    @property
    def undefended(self) -> bool:
        """Whether the photos that are linked are as they were, but for the channel."""
        return self.plugins["defender"] in ("", NOTHING)

    @property
    def unpoisoned(self) -> bool:
        """Whether the attacker trained on photos as they were."""
        return self.plugins["poison"] in ("", NOTHING)

    @property
    def yardstick(self) -> str:
        """What the cell is a yardstick of, see `yardstick`."""
        return yardstick(self.control, self.unpoisoned, self.undefended)

    @classmethod
    def of(cls, specs: Mapping[str, Spec | None], seen: tuple[str, ...] = ()) -> CellFacts:
        """From the plugins by coordinate; those that are not given, or None, are not there."""
        plugins = {name: spec.name if (spec := specs.get(name)) else "" for name in PLAYED}
        defender, poison = (spec.plugin() if (spec := specs.get(name)) else None for name in ("defender", "poison"))
        channel: Channel | None = spec.plugin() if (spec := specs.get("channel")) else None
        return cls(
            plugins,
            control=defender is None or type(defender).control,
            budget=_budget(defender),
            poison_budget=_budget(poison),
            eight_bit=channel is not None and type(channel).eight_bit,
            seen=seen,
        )

    @classmethod
    def by_name(cls, place: Mapping[str, Any]) -> CellFacts:
        """For results whose maker recorded no facts: the labels are taken for the names of built-in plugins."""
        plugins = {name: str(place.get(name) or "") for name in PLAYED}
        plugins = {name: "" if (name, plugin) in ABSENT else plugin for name, plugin in plugins.items()}
        epsilon = place.get("epsilon")
        return cls(
            plugins,
            control=plugins["defender"] in ("", NOTHING, "noise"),
            budget=Budget() if epsilon is None else Budget("linf", float(epsilon)),
            poison_budget=Budget(),
            eight_bit=plugins["channel"] not in ("", "float"),
        )

    def to_json(self) -> dict[str, Any]:
        """As a cell of run.json holds it."""
        budgets = {"budget": self.budget.to_json(), "poison_budget": self.poison_budget.to_json()}
        return {**self._asdict(), **budgets}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CellFacts:
        """Raises KeyError or TypeError for what is no such record."""
        return cls(
            {name: str(data["plugins"][name]) for name in PLAYED},
            bool(data["control"]),
            Budget(**data["budget"]),
            Budget(**data["poison_budget"]),
            bool(data["eight_bit"]),
            tuple(str(name) for name in data.get("seen", ())),
        )


PLAYED = tuple(name for name in COORDINATES if name not in ("epsilon", "seed"))
"""The coordinates that name plugins."""

ABSENT = {("genomes", "none"), ("model", "published")}
"""Coordinates with the words that stand in tables where there is no plugin."""


def yardstick(control: bool, unpoisoned: bool, undefended: bool) -> str:
    """`none` or `noise` where photos are as they were or changed without aim and no poison is in play, else empty."""
    if not control or not unpoisoned:
        return ""
    return "none" if undefended else "noise"


def _budget(defender: Defender | None) -> Budget:
    return Budget() if defender is None else defender.budget()
