"""An entry's scenario run again, and its numbers compared with those of the entry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.errors import InputError, PluginError
from linkbench.leaderboard.collect import make
from linkbench.leaderboard.entry import CellRecord, ChangeRecord, Entry, Rerun
from linkbench.leaderboard.verify import Photos, stored_photos
from linkbench.registry.spec import Spec

if TYPE_CHECKING:
    from linkbench.scenario.file import Scenario


def run_again(entry: Entry, store: str | None, device: str, watching: Callable[[int], Any]) -> Entry:
    """The entry that the same scenario gives here and now, with nothing taken from earlier runs but what `store` holds.

    watching(stages) is entered while the stages run; see linkbench.execution.run.Watcher.
    """
    from linkbench.execution.run import Run
    from linkbench.plan.make import make_plan
    from linkbench.results.carry_out import carry_out
    from linkbench.store.store import Store

    scenario = scenario_of(entry)
    plan = make_plan(scenario)
    with tempfile.TemporaryDirectory(prefix="linkbench-rerun-") as temporary:
        folder = Path(temporary, "results")
        run = Run(plan, Store(store or Path(temporary, "store")), device)
        carry_out(scenario, run, watching(len(plan.steps)), folder)
        return make(folder, [entry], name=f"{entry.name[:58]}-again")


def scenario_of(entry: Entry) -> Scenario:
    """The scenario of an entry, every plugin and parameter checked against what is installed here."""
    from pydantic import ValidationError

    from linkbench.api.kinds import SECTIONS
    from linkbench.metrics.settings import Measure
    from linkbench.scenario.file import Model, Scenario
    from linkbench.scenario.linkage import Split
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
            settings={"split": Split.model_validate(data["split"]).model_dump()},
            measure=Measure.model_validate(data["measure"]),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{entry.name}: its scenario cannot be run here: {error}") from None


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
    largest, identical, wrong = 0.0, 0, []
    if entry.protocol.data != again.protocol.data:
        wrong.append("the data differ: other photos, labels or genomes than those of the entry were made here")
    for cell in entry.cells:
        other = cells.get(cell.id)
        if other is None:
            wrong.append(f"cell {cell.id} ({cell.defender}, {cell.attacker}) did not finish here")
            continue
        # not strict: an entry of an earlier linkbench says nothing of what its poisons changed
        gaps = [abs(a - b) for a, b in zip(_numbers(cell, before), _numbers(other, after), strict=False)]
        largest = max(largest, *gaps)
        same = _identical(mine, theirs, cell.id) if mine is not None and theirs is not None else max(gaps) == 0.0
        identical += same
        if max(gaps) > tolerance + 1e-12:
            wrong.append(
                f"cell {cell.id} ({cell.model}, {cell.poison}, {cell.defender}, {cell.channel}, {cell.attacker}): "
                f"success {cell.success[0]:.6f} in the entry, {other.success[0]:.6f} here; area {cell.auc[0]:.6f} and "
                f"{other.auc[0]:.6f}; SSIM {before[cell.change].ssim[0]:.6f} and {after[other.change].ssim[0]:.6f}"
            )
    record = Rerun(
        entry=entry.digest, device=again.device, machine=again.machine, versions=again.versions,
        cells=len(entry.cells), identical=identical, largest=round(largest, 6), tolerance=tolerance,
    )  # fmt: skip
    return record, wrong


def _numbers(cell: CellRecord, changes: Mapping[str, ChangeRecord]) -> list[float]:
    """All numbers of a cell, those of what was changed last."""
    changed = [changes[id_] for id_ in (cell.change, cell.poison_change) if id_ is not None]
    return [*cell.success, *cell.auc, *(number for change in changed for number in (*change.ssim, change.linf))]


def _identical(mine: Photos, theirs: Photos, cell: str) -> bool:
    """Whether every photo has the same rank."""
    one, two = mine.cells[cell], theirs.cells[cell]
    return bool(np.array_equal(one.better, two.better) and np.array_equal(one.tied, two.tied))
