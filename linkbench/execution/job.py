"""One step carried out, wherever that is: inputs are read from the store, the stage runs, the store keeps its artefact.

Nothing of size comes back: whoever has it done hears a digest, and what plugins said and did.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import platform
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from linkbench.api.checkpoints import kept_in
from linkbench.api.cores import blas_on_one_thread, one_thread
from linkbench.api.data import Artefact
from linkbench.api.executor import Failure, JobReport, Tell
from linkbench.api.progress import listening, noting
from linkbench.api.text import shown
from linkbench.errors import InputError, LinkbenchError
from linkbench.execution.keys import computes, differences, key_of
from linkbench.execution.limits import OverdueError, limited, put_back
from linkbench.execution.stdout import Printed, captured
from linkbench.harness.proposals import expect
from linkbench.plan.builder import Step
from linkbench.plan.task import Part, Task
from linkbench.stages.parts import join, marked
from linkbench.store.checkpoints import StoredCheckpoints
from linkbench.store.location import is_url
from linkbench.store.store import Store, Stored

TRACE = 20_000
"""Letters of a traceback that are kept, its end."""


class Joined(NamedTuple):
    """Digests of the parts of a stage, in order, and how many seconds they took, with the rounds before."""

    parts: list[str]
    seconds: float


class Order(NamedTuple):
    """A step to be carried out, as plain data.

    key: under which the store keeps what it leaves; inputs: digests of its inputs by name; limit: seconds that it may
    take; folder: the working directory, from which plugins find the user's files; part: of the photos that the stage
    goes through, in which round; whole: see `Task`; joins: the finished parts that are to be joined.
    """

    step: Step
    label: str
    key: dict[str, Any]
    inputs: dict[str, str]
    device: str
    limit: float | None
    folder: str
    part: Part | None = None
    round: int = 0
    whole: str = ""
    joins: Joined | None = None


def carry_out(
    order: Order,
    store: Store,
    tell: Tell | None = None,
    *,
    interrupted: Callable[[], bool] = lambda: False,
    stuck: Callable[[], None] | None = None,
) -> JobReport:
    """Carry out a step and say what came of it; whatever a stage raises is its failure.

    interrupted: whether a KeyboardInterrupt is the user's, who gets it; stuck: called from another thread, with
    standard output in order, if the stage is over its limit and cannot be interrupted.
    """
    inputs: dict[str, Artefact] = {}
    notes: list[str] = []
    try:
        wanted = dict(order.inputs)
        if order.joins is not None:
            wanted |= {str(number): digest for number, digest in enumerate(order.joins.parts)}
        for name, digest in wanted.items():
            artefact = store.read(digest)
            if artefact is None:
                return JobReport(missing=name)
            inputs[name] = artefact
        entry = _compute(order, store, inputs, notes, tell, stuck)
        return JobReport(entry.digest, entry.seconds, tuple(notes))
    except BaseException as error:  # a plugin may raise SystemExit, or anything
        if isinstance(error, KeyboardInterrupt) and interrupted():
            raise
        trace = traceback.format_exc()[-TRACE:]
        failure = Failure(order.label, reason(error, order.limit), isinstance(error, InputError), trace)
        return JobReport(notes=tuple(notes), failure=failure)


def _compute(
    order: Order,
    store: Store,
    inputs: dict[str, Artefact],
    notes: list[str],
    tell: Tell | None,
    stuck: Callable[[], None] | None,
) -> Stored:
    step, key = order.step, order.key
    module, _, function = step.run.partition(":")
    begun = time.perf_counter()
    printed = Printed()
    kept = StoredCheckpoints(store.blobs, key)
    stage = getattr(importlib.import_module(module), function)

    def abandon() -> None:
        printed.restore()
        if stuck is not None:
            stuck()

    try:
        with (
            # before the clock runs: an import that is broken off leaves halves
            one_thread() if computes(key) else contextlib.nullcontext(),
            put_back(notes),
            noting(notes),
            captured(printed),
            listening(tell),
            kept_in(kept),
            limited(order.limit, abandon if stuck is not None else None),
        ):
            parts = [inputs.pop(str(number)) for number in range(len(order.joins.parts) if order.joins else 0)]
            task = Task(
                inputs, step.specs, step.settings, step.seed, order.device, order.part, order.round, order.whole
            )
            result = join(task, step.run, parts) if order.joins is not None else stage(task)
            if order.part is not None:
                result = marked(result, order.part, order.round)
            before = order.joins.seconds if order.joins is not None else 0.0
            entry = store.write(key, result, lambda: time.perf_counter() - begun + before)
        kept.clear()
        return entry
    finally:
        if printed.text:
            notes.insert(0, f"printed {printed.brief()} on standard output; that is kept out of the results")


def reason(error: BaseException, limit: float | None) -> str:
    """Why a stage did not finish, fit to be shown: a plugin may put a whole array into its message."""
    if isinstance(error, OverdueError):
        return f"took longer than {limit:g} seconds, the limit of a stage; give it more with --limit"
    if isinstance(error, LinkbenchError):
        return shown(error)
    return f"{shown(type(error).__name__)}: {shown(error)}"


def carry_out_away(order: Order, location: str, elsewhere: bool, tell: Tell) -> JobReport:
    """The same in the process of a worker, with the store at a location.

    elsewhere: the worker may be on another machine, so that it is looked first whether code and store are the same.
    """
    if elsewhere:
        refused = _stranger(order, location)
        if refused:
            return JobReport(refused=refused)
    tell(0, 0)
    blas_on_one_thread()
    expect([order.step.specs.values()], order.step.on_device)
    return carry_out(order, _store(location), tell)


@functools.cache
def _store(location: str) -> Store:
    """The store as this process knows it: what it has verified once it need not verify again."""
    return Store(location)


def _stranger(order: Order, location: str) -> str:
    """Why this process may not carry out a step, "" if it may."""
    if os.path.isdir(order.folder):
        os.chdir(order.folder)
    if not is_url(location) and not os.path.isdir(location):
        return f"the store {location} is not there; the store of a run must be a folder that all its machines see"
    try:
        here = key_of(order.step, order.inputs, order.device)
    except LinkbenchError as error:
        return str(error)
    differ = differences(order.key, here)
    return f"it has other code than the run: {'; '.join(differ)}; install the same there" if differ else ""


def worker_name() -> str:
    """This process among those of all machines."""
    return f"{platform.node()}:{os.getpid()}"
