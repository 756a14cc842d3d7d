"""Carries out a plan through the store: every stage is looked up, computed if need be, and kept.

A `Run` is the driver. It alone decides what is ready, done, cached and failed; what must be computed it carries out
itself or hands to the workers of an executor, step by step as inputs come into the store. It hears digests, never
arrays.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TypeVar

from linkbench.api.data import Artefact
from linkbench.errors import InputError, StoreError
from linkbench.execution.limits import user_interrupts
from linkbench.execution.records import Ledger, Record, RunOutcome, Watcher
from linkbench.execution.schedule import Schedule
from linkbench.plan.builder import Plan

LAST_STAGES = ("quality", "poison_quality", "curves", "detect", "sanity", "rank", "measure")
"""Stages whose artefacts the results are made of."""

T = TypeVar("T")


class Run(Ledger):
    """One execution of a plan. Pure bookkeeping: the work is in the stages, the bytes in the store."""

    def look_up(self) -> dict[str, bool | None]:
        """For every step, whether it is cached; None where that depends on a step yet to be computed."""
        out: dict[str, bool | None] = {}
        for id_, step in self.plan.steps.items():
            key = self.key(step)
            entry = self.store.find(key) if key else None
            out[id_] = None if key is None else entry is not None
            if entry is not None:
                self.records[id_] = Record(entry, computed=False)
        return out

    def execute(self, watcher: Watcher | None = None) -> RunOutcome:
        """Carry out the plan; a failing stage takes only the cells behind it.

        Raises the InputError of a stage if no cell at all survives it, and WorkerError where a worker has other code.
        """
        with (
            _store_lost(),
            user_interrupts() as interrupted,
            contextlib.closing(Schedule(self, watcher, interrupted)) as schedule,
        ):
            schedule.settle()
            cells = {}
            load = functools.cache(schedule.load)  # many cells share what was done to their photos
            for cell in self.plan.cells:
                if cell.steps["measure"] not in self.failures:
                    cells[cell.id] = {stage: load(id_) for stage, id_ in cell.steps.items() if stage in LAST_STAGES}
        self.records = _in_order(self.plan, self.records)
        self.failures = _in_order(self.plan, self.failures)
        if not cells:
            first = next(iter(self.failures.values()), None)
            if first is not None and first.input_error:
                raise InputError(first.reason)
        return RunOutcome(self.records, self.failures, cells)

    def artefact(self, id_: str) -> Artefact:
        """What a step left that is done; computed again if the store lost it."""
        with contextlib.closing(Schedule(self, None, lambda: True)) as schedule:
            return schedule.load(id_)


@contextlib.contextmanager
def _store_lost() -> Iterator[None]:
    """A store that fails during the work is no mistake of the user's, and what it holds is good."""
    try:
        yield
    except StoreError as error:
        error.exit_status = 1
        raise


def _in_order(plan: Plan, by_step: dict[str, T]) -> dict[str, T]:
    """What is known of steps in the order of the plan, whoever was ready first."""
    return {id_: by_step[id_] for id_ in plan.steps if id_ in by_step}
