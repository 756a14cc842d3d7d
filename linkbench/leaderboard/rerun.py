"""An entry's scenario run again: with its own seeds, to compare every number, or on people that its author never saw.

A defence may have learned the linked photos by heart, or its entry may be made up. With a fresh seed people, photos,
split, opponents and the randomness of the defence are other ones; then it is compared how much less is linked than
without a defence, by tests corrected for their number (Holm).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.errors import InputError, PluginError
from linkbench.leaderboard.collect import make
from linkbench.leaderboard.entry import CellRecord, ChangeRecord, Entry, Rerun
from linkbench.leaderboard.facts import Plugins
from linkbench.leaderboard.verify import Photos, stored_photos
from linkbench.metrics.comparison import by_person, holm
from linkbench.registry.spec import Spec

if TYPE_CHECKING:
    from linkbench.scenario.file import Scenario


def run_again(
    entry: Entry, store: str | None, device: str, watching: Callable[[int], Any], seed: int | None = None
) -> Entry:
    """The entry that the same scenario gives here and now, with nothing taken from earlier runs but what `store` holds.

    seed: instead of the entry's seeds; watching(stages) is entered while the stages run; see
    linkbench.execution.records.Watcher. Raises InputError where the seed is one of the entry's.
    """
    from linkbench.execution.run import Run
    from linkbench.plan.make import make_plan
    from linkbench.results.carry_out import carry_out
    from linkbench.store.store import Store

    scenario = scenario_of(entry)
    if seed in scenario.seeds:
        raise InputError(f"{seed} is a seed of the entry; choose one that its author could not know")
    if seed is not None:
        scenario = scenario._replace(seeds=[seed])
    plan = make_plan(scenario)
    with tempfile.TemporaryDirectory(prefix="linkbench-rerun-") as temporary:
        folder = Path(temporary, "results")
        kept = Store(store or Path(temporary, "store"))
        carry_out(scenario, Run(plan, kept, device), watching(len(plan.steps)), folder)
        return make(folder, [entry], name=f"{entry.name[:58]}-again", keep_photos=True, store=kept)


def scenario_of(entry: Entry) -> Scenario:
    """The scenario of an entry, every plugin and parameter checked against what is installed here."""
    from pydantic import ValidationError

    from linkbench.api.kinds import SECTIONS
    from linkbench.metrics.settings import Measure
    from linkbench.scenario.file import Model, Scenario
    from linkbench.scenario.tasks import task_of

    data = entry.scenario
    try:
        specs = {name: [_use(kind, spec) for spec in data.get(name, ())] for name, kind in SECTIONS.items()}
        models = [
            Model(str(model["name"]), _use("architecture", model["architecture"]), _use("recipe", model["recipe"]),
                  model["start"], bool(model.get("sealed")), str(model.get("role", "opponent")))
            for model in data["models"]
        ]  # fmt: skip
        return Scenario(
            name=entry.name,
            seeds=[int(seed) for seed in data["seeds"]],
            models=models,
            task=task_of(data),
            specs=specs,
            settings=_settings(data),
            measure=Measure.model_validate(data["measure"]),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{entry.name}: its scenario cannot be run here: {error}") from None


def _settings(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The task's own settings, checked."""
    from linkbench.metrics.settings import Strict
    from linkbench.scenario.tasks import TASKS, task_of

    fields = TASKS[task_of(data)].load("form").model_fields
    forms = {name: field.annotation for name, field in fields.items() if name != "measure"}
    return {
        name: form.model_validate(data[name]).model_dump()
        for name, form in forms.items()
        if isinstance(form, type) and issubclass(form, Strict)
    }


def _use(kind: str, spec: dict[str, Any]) -> Spec:
    found = Spec(kind, str(spec["name"]), dict(spec["params"]), str(spec["label"]))
    try:
        found.plugin()
    except PluginError as error:
        raise InputError(f"the entry plays {kind} {found.name!r}, which cannot be used here: {error}") from None
    return found


def compare(entry: Entry, again: Entry, tolerance: float) -> tuple[Rerun, list[str]]:
    """The record of a rerun, and every number that differs by more than the tolerance, in words."""
    mine, theirs = stored_photos(entry), stored_photos(again)
    cells = {cell.id: cell for cell in again.cells}
    before, after = ({change.id: change for change in one.changes} for one in (entry, again))
    largest, identical = 0.0, 0
    wrong = _otherwise(entry, again)
    for cell in entry.cells:
        other = cells.get(cell.id)
        if other is None:
            wrong.append(f"cell {cell.id} ({cell.defender}, {cell.attacker}) did not finish here")
            continue
        gaps = [abs(a - b) for a, b in zip(_numbers(cell, before), _numbers(other, after), strict=True)]
        largest = max(largest, *gaps)
        same = _identical(mine, theirs, cell.id) if mine is not None and theirs is not None else max(gaps) == 0.0
        identical += same
        if max(gaps) > tolerance + 1e-12:
            wrong.append(
                f"cell {cell.id} ({cell.model}, {cell.poison}, {cell.defender}, {cell.channel}, {cell.attacker}): "
                f"success {cell.success[0]:.6f} in the entry, {other.success[0]:.6f} here; area {cell.auc[0]:.6f} and "
                f"{other.auc[0]:.6f}; SSIM {before[cell.change].ssim[0]:.6f} and {after[other.change].ssim[0]:.6f}"
            )
    return _record(entry, again, None, identical, largest, tolerance), wrong


def _record(entry: Entry, again: Entry, seed: int | None, identical: int, largest: float, tolerance: float) -> Rerun:
    return Rerun(
        entry=entry.digest, seed=seed, device=again.device, machine=again.machine, versions=again.versions,
        cells=len(entry.cells), identical=identical, largest=round(largest, 6), tolerance=tolerance,
    )  # fmt: skip


def _otherwise(entry: Entry, again: Entry) -> list[str]:
    """What was another thing here: data, people, opponents, or the code of a plugin."""
    out = [f"the protocol differs: {why}" for why in entry.protocol.differences(again.protocol)]
    here = again.codes()
    return out + [
        f"the code of {kind} {name!r} is {here.get((kind, name), 'missing')} here, {code} in the entry"
        for (kind, name), code in entry.codes().items()
        if here.get((kind, name)) != code
    ]


class _Less(NamedTuple):
    """How much less is linked than without the defence: mean over people, its standard error, who did it."""

    mean: float
    error: float
    cell: CellRecord


def compare_fresh(entry: Entry, again: Entry, seed: int, tolerance: float) -> tuple[Rerun, list[str]]:
    """The record of a rerun on fresh people, and every defence that takes surely less away there, in words.

    Where an entry plays no `none` it is success itself that is compared. Raises InputError where the entry keeps
    nothing of single photos.
    """
    before, after = _taken_away(entry), _taken_away(again)
    if not before:
        raise InputError(f"{entry.name} keeps nothing of single photos; fresh people can be compared with nothing")
    wrong = [what for what in _otherwise(entry, again) if what.startswith("the code of")]
    wrong += [f"cell {_named(before[key].cell)} did not finish here" for key in before if key not in after]
    both = [key for key in before if key in after]
    lost = [before[key].mean - after[key].mean for key in both]
    errors = [math.hypot(before[key].error, after[key].error) for key in both]
    p = holm(np.array([_above(gap - tolerance, error) for gap, error in zip(lost, errors, strict=True)]))
    for key, gap, adjusted in zip(both, lost, p, strict=True):
        if adjusted <= 1.0 - entry.protocol.metrics.level:
            wrong.append(
                f"cell {_named(before[key].cell)}: it took {100 * before[key].mean:.1f} points away in the entry, "
                f"{100 * after[key].mean:.1f} on fresh people, {100 * gap:.1f} less"
            )
    return _record(entry, again, seed, 0, max(lost, default=0.0), tolerance), wrong


def _above(gap: float, error: float) -> float:
    """One-sided p-value of the hypothesis that the gap is not above zero, normal approximation."""
    if error == 0.0:
        return float(gap <= 0.0)
    return 0.5 * math.erfc(gap / error / math.sqrt(2.0))


def _named(cell: CellRecord) -> str:
    return f"({cell.model}, {cell.poison}, {cell.defender}, {cell.channel}, {cell.attacker})"


_Key = tuple[str, str, str, str, float | None]


def _taken_away(entry: Entry) -> dict[_Key, _Less]:
    """By model, channel, attacker and protection how much less is linked than without; of all seeds together."""
    stored = stored_photos(entry)
    if stored is None:
        return {}
    played, rules = Plugins(entry), entry.protocol.metrics
    success: dict[tuple[int, _Key], tuple[Array, CellRecord, str]] = {}
    for cell in entry.cells:
        seen = stored.cells[cell.id]
        values = seen.success(rules, entry.population)
        weights = None if seen.weights is None else seen.weights[:, None]
        people = by_person(values[:, None], seen.people, weights)[:, 0]
        known = played.of(cell)
        key = (cell.model, cell.channel, cell.attacker, known.key, cell.epsilon)
        success[cell.seed, key] = (people, cell, known.yardstick)
    plain = {(seed, key[:3]): values for (seed, key), (values, _, yard) in success.items() if yard == "none"}
    parts: dict[_Key, list[tuple[Array, CellRecord]]] = {}
    for (seed, key), (values, cell, yard) in success.items():
        if yard != "none":
            without = plain.get((seed, key[:3]), np.zeros(len(values)))
            parts.setdefault(key, []).append((without - values, cell))
    out = {}
    for key, found in parts.items():
        means = [float(values.mean()) for values, _ in found]
        errors = [float(values.std(ddof=min(1, len(values) - 1))) / math.sqrt(len(values)) for values, _ in found]
        error = math.sqrt(sum(each**2 for each in errors)) / len(found)
        out[key] = _Less(sum(means) / len(means), error, found[0][1])
    return out


def _numbers(cell: CellRecord, changes: Mapping[str, ChangeRecord]) -> list[float]:
    """All numbers of a cell, those of what was changed last."""
    changed = [changes[id_] for id_ in (cell.change, cell.poison_change) if id_ is not None]
    return [*cell.success, *cell.auc, *(number for change in changed for number in (*change.ssim, change.linf))]


def _identical(mine: Photos, theirs: Photos, cell: str) -> bool:
    """Whether every photo has the same rank."""
    one, two = mine.cells[cell], theirs.cells[cell]
    return bool(np.array_equal(one.better, two.better) and np.array_equal(one.tied, two.tied))
