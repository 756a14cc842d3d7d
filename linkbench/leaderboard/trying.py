"""One defence against all opponents of a table, and where it would stand there: nothing of it is kept on the board."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from linkbench.errors import InputError
from linkbench.leaderboard.assembly import Sheet, sheet
from linkbench.leaderboard.board import Listed, tables
from linkbench.leaderboard.collect import make
from linkbench.leaderboard.entry import Entry
from linkbench.leaderboard.facts import CONTROLS, Plugins
from linkbench.leaderboard.keeping import owned_key, rows_of
from linkbench.leaderboard.named import named
from linkbench.leaderboard.ranking import Place
from linkbench.leaderboard.rerun import scenario_of
from linkbench.plan.facts import NOTHING
from linkbench.registry.spec import Spec

if TYPE_CHECKING:
    from linkbench.scenario.file import Scenario
    from linkbench.store.store import Store

GUEST = "guest.try"
"""The name of the entry that is never written."""


class Ground(NamedTuple):
    """Where a defence is tried: a scenario with the opponents, and the entries of the table, none where it is alone."""

    scenario: Scenario
    mates: list[Listed]


class Tried(NamedTuple):
    """What came out: a sheet for each channel, the guest's rows among others, and what should be known of it.

    remarks: why it does not stand in the table, or what would keep it from joining.
    """

    sheets: list[Sheet]
    remarks: list[str]

    def places(self, sheet: Sheet) -> list[Place]:
        """The guest's own rows of a sheet."""
        return [place for place in sheet.ranking.places if place.row.entry == GUEST and not place.row.control]


def ground(listed: list[Listed], protocol: str | None) -> Ground:
    """The table of a named protocol, or the first of the board. Raises InputError where there is neither."""
    if protocol is not None:
        mates = [one for one in listed if one.entry.protocol.rules.name == protocol]
        return Ground(named(protocol).scenario, _of_first(mates))
    if not listed:
        raise InputError("there is no board here and no --protocol; see them with: linkbench leaderboard protocols")
    first = tables(listed)[0]
    mates = [one for one in listed if one.entry.protocol_digest == first.digest]
    # with surrogates and controls, whoever brought most of the table
    most = max(mates, key=lambda one: (len(one.rows), one.entry.name))
    return Ground(scenario_of(most.entry), mates)


def _of_first(mates: list[Listed]) -> list[Listed]:
    """Those of the largest of several tables of one name."""
    digests = [one.entry.protocol_digest for one in mates]
    return [one for one in mates if one.entry.protocol_digest == max(digests, key=digests.count)]


def scenario_with(
    scenario: Scenario, tried: Spec, *, poison: bool, channels: Sequence[str], seeds: Sequence[int]
) -> Scenario:
    """The scenario with one defence, and the controls that it is measured by; channels, seeds: all where none is named.

    Raises InputError for a channel that the scenario does not have.
    """
    known = {spec.label: spec for spec in scenario.specs["channels"]}
    strange = [label for label in channels if label not in known]
    if strange:
        raise InputError(f"there is no channel {strange[0]!r} on this table; there are: {', '.join(known)}")
    nothing = Spec("defender", NOTHING, {}, NOTHING)
    nothing = nothing._replace(params=nothing.plugin().model_dump(mode="json", by_alias=True))
    epsilon = tried.params.get("epsilon")
    noise = [spec for spec in scenario.specs["defenders"]
             if spec.name in CONTROLS and spec.name != NOTHING and spec.params.get("epsilon") == epsilon]  # fmt: skip
    if poison and not scenario.specs["poisons"]:
        raise InputError("this table is of identification, where defences change the gallery; leave --poison out")
    specs = {
        **scenario.specs,
        "channels": [known[label] for label in channels] or scenario.specs["channels"],
        "poisons": [nothing, tried] if poison else [nothing] if scenario.specs["poisons"] else [],
        "defenders": [nothing] if poison else [nothing, *noise, tried],
    }
    return scenario._replace(name=GUEST, specs=specs, seeds=list(seeds) or scenario.seeds)


def play(scenario: Scenario, mates: list[Listed], store: Store, device: str, watching: Callable[[int], Any]) -> Tried:
    """Run the scenario through the store, where trained opponents are kept, and rank it among the entries of a table.

    watching(stages) is entered while stages run. Raises InputError where nothing of the guest came out.
    """
    from linkbench.execution.run import Run
    from linkbench.plan.make import make_plan
    from linkbench.results.carry_out import carry_out

    plan = make_plan(scenario)
    with tempfile.TemporaryDirectory(prefix="linkbench-try-") as temporary:
        folder = Path(temporary, "results")
        carry_out(scenario, Run(plan, store, device), watching(len(plan.steps)), folder)
        guest = make(folder, [one.entry for one in mates], name=GUEST, keep_photos=True, store=store)
    return among(guest, mates)


def among(guest: Entry, mates: list[Listed]) -> Tried:
    """The tables with the guest among the others, or alone where its people, data or opponents are other ones."""
    remarks = [f"failed: {what}" for what in guest.failed]
    if mates and guest.protocol_digest != mates[0].entry.protocol_digest:
        rules = mates[0].entry.protocol
        why = rules.differences(guest.protocol)
        if all(what.startswith("other code of") for what in why):
            guest = _with_codes_of(mates[0].entry, guest)
            remarks.append(f"shown among the others, but it would open a table of its own: {'; '.join(why)}")
        else:
            remarks.append(f"shown without the others: {'; '.join(why)}")
            mates = []
    played = Plugins(guest)
    controls = {owned_key(guest, known.key) for cell in guest.cells if (known := played.of(cell)).yardstick}
    own = frozenset(rows_of(guest)) - (controls if mates else frozenset())
    listed = [*mates, Listed(guest, "recomputed", own)]
    channels = {spec["label"] for spec in guest.scenario["channels"]}
    return Tried([sheet(table) for table in tables(listed) if table.channel in channels], remarks)


def _with_codes_of(other: Entry, guest: Entry) -> Entry:
    """The guest as if everything but its defences had the code of the other entry, so that both share a table."""
    codes = other.codes()
    plugins = [
        plugin.model_copy(update={"code": codes.get((plugin.kind, plugin.use), plugin.code)})
        if plugin.kind != "defender"
        else plugin
        for plugin in guest.plugins
    ]
    same = {"protocol": other.protocol, "protocol_digest": other.protocol_digest, "plugins": plugins}
    return guest.model_copy(update=same)
