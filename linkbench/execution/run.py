"""Carries out a plan through the store: every stage is looked up, computed if need be, and kept."""

from __future__ import annotations

import contextlib
import functools
import importlib
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, Protocol

from linkbench.api.checkpoints import kept_in
from linkbench.api.cores import one_thread
from linkbench.api.data import Artefact
from linkbench.api.progress import listening, noting
from linkbench.errors import InputError, LinkbenchError
from linkbench.execution.limits import OverdueError, limited, put_back, user_interrupts
from linkbench.execution.stdout import Printed, captured
from linkbench.harness.proposals import expect
from linkbench.plan.builder import Plan, Step
from linkbench.plan.task import Task
from linkbench.registry.code_digest import NUMERICAL, Code, code_of, version_of
from linkbench.registry.spec import nested_specs
from linkbench.store.checkpoints import StoredCheckpoints
from linkbench.store.store import KEY_VERSION, Store, Stored

LONGEST = 2_000
"""Letters that are told of an error of foreign code."""

LAST_STAGES = ("quality", "poison_quality", "curves", "rank", "measure")
"""Stages whose artefacts the results are made of."""


class Failure(NamedTuple):
    """A stage that did not finish: why, whether the user's input is at fault, and the traceback for --debug."""

    stage: str
    reason: str
    input_error: bool
    trace: str


class Record(NamedTuple):
    """What happened to one step: its entry in the store, and whether it was computed now."""

    entry: Stored
    computed: bool


class Watcher(Protocol):
    """Somebody who wants to see how a run proceeds."""

    def begin(self, step: Step, label: str) -> Callable[[int, int], None] | None:
        """A step starts to compute; returns who hears of its progress."""

    def note(self, label: str, text: str) -> None:
        """A plugin of the step did something that it should not, and that harmed nobody."""

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        """The step is done, or failed."""


class RunOutcome(NamedTuple):
    """A finished run: what happened to every step, and for each cell that succeeded what its last stages left."""

    records: dict[str, Record]
    failures: dict[str, Failure]
    cells: dict[str, dict[str, Artefact]]


def step_label(step: Step) -> str:
    """`protect joint-pgd`: the stage and the plugins it uses."""
    return " ".join([step.stage, *(spec.label for spec in step.specs.values())])


class Run:
    """One execution of a plan. Pure bookkeeping: the work is in the stages, the bytes in the store.

    limit: seconds that one stage may take; given_up: ids of steps that took longer in an earlier attempt and could not
    be interrupted; give_up: called with the id of such a step, from another thread, with standard output in order.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        device: str = "cpu",
        limit: float | None = None,
        given_up: Collection[str] = (),
        give_up: Callable[[str], None] | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.device = device
        self.limit = limit
        self.given_up, self.give_up = given_up, give_up
        self.interrupted: Callable[[], bool] = lambda: True
        self.records: dict[str, Record] = {}
        self.failures: dict[str, Failure] = {}
        self.expected = False  # whether it is known which plugins will want a process of their own

    def key(self, step: Step) -> dict[str, Any] | None:
        """Everything that decides the result of a step; None while an input is not known yet."""
        if any(id_ not in self.records for id_ in step.inputs.values()):
            return None
        code = code_of(step.run.partition(":")[0])
        plugins = {role: spec.identity() for role, spec in step.specs.items()}
        libraries = {NUMERICAL[name]: version_of(NUMERICAL[name]) for name in sorted(code.libraries)}
        return {
            "key": KEY_VERSION,
            "stage": step.stage,
            "run": step.run,
            "code": code.digest,
            "libraries": libraries,
            "plugins": plugins,
            "settings": step.settings,
            "inputs": {name: self.records[id_].entry.digest for name, id_ in step.inputs.items()},
            "seed": step.seed,
            "device": self.device.partition(":")[0] if step.on_device else "any",
        }

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

        Raises the InputError of a stage if no cell at all survives it.
        """
        with user_interrupts() as self.interrupted:
            for id_, step in self.plan.steps.items():
                lost = next((self.failures[other] for other in step.inputs.values() if other in self.failures), None)
                if lost is not None:
                    self.failures[id_] = lost
                    continue
                self._guarded(id_, step, watcher)
        cells = {}
        load = functools.cache(lambda id_: self._load(id_, watcher))  # many cells share what was done to their photos
        for cell in self.plan.cells:
            if cell.steps["measure"] not in self.failures:
                cells[cell.id] = {stage: load(id_) for stage, id_ in cell.steps.items() if stage in LAST_STAGES}
        if not cells:
            first = next(iter(self.failures.values()), None)
            if first is not None and first.input_error:
                raise InputError(first.reason)
        return RunOutcome(self.records, self.failures, cells)

    def artefact(self, id_: str) -> Artefact:
        """What a step left that is done; computed again if the store lost it."""
        return self._load(id_, None)

    def _guarded(self, id_: str, step: Step, watcher: Watcher | None) -> None:
        try:
            key = self.key(step)
            assert key is not None
            entry = self.store.find(key)
            if entry is not None:
                self.records[id_] = Record(entry, computed=False)
                if watcher:
                    watcher.end(step, step_label(step), self.records[id_])
            elif id_ in self.given_up:
                raise OverdueError
            else:
                self._compute(id_, watcher)
        except BaseException as error:  # a plugin may raise SystemExit, or anything
            if isinstance(error, KeyboardInterrupt) and self.interrupted():
                raise
            reason = self._reason(error)
            failure = Failure(step_label(step), reason, isinstance(error, InputError), traceback.format_exc())
            self.failures[id_] = failure
            if watcher:
                watcher.end(step, step_label(step), failure)

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, OverdueError):
            return f"took longer than {self.limit:g} seconds, the limit of a stage; give it more with --limit"
        return str(error) if isinstance(error, LinkbenchError) else f"{type(error).__name__}: {_brief(error)}"

    def _compute(self, id_: str, watcher: Watcher | None) -> None:
        step = self.plan.steps[id_]
        inputs = {name: self._load(other, watcher) for name, other in step.inputs.items()}
        key = self.key(step)  # again: an input that had to be repaired may have changed
        assert key is not None
        module, _, function = step.run.partition(":")
        begun = time.perf_counter()
        listener = watcher.begin(step, step_label(step)) if watcher else None
        notes: list[str] = []
        printed = Printed()
        if not self.expected:
            self.expected = True
            expect(
                (other.specs.values() for other in self.plan.steps.values()),
                any(other.on_device for other in self.plan.steps.values()),
            )
        kept = StoredCheckpoints(self.store.blobs, key)
        stage = getattr(importlib.import_module(module), function)
        torch = "torch" in key["libraries"] or any(map(_computes, key["plugins"].values()))
        try:
            with (
                # before the clock runs: an import that is broken off leaves halves
                one_thread() if torch else contextlib.nullcontext(),
                put_back(notes),
                noting(notes),
                captured(printed),
                listening(listener),
                kept_in(kept),
                limited(self.limit, self._stuck(id_, printed)),
            ):
                result: Artefact = stage(Task(inputs, step.specs, step.settings, step.seed, self.device))
                entry = self.store.write(key, result, lambda: time.perf_counter() - begun)
            kept.clear()
            if any(code.edited() for code in _code_behind(step)):
                self.store.forget(key)
                notes.append("its code was edited while it ran; the next run computes it again")
        finally:
            if printed.text:
                notes.insert(0, f"printed {printed.brief()} on standard output; that is kept out of the results")
            if watcher:
                for text in notes:
                    watcher.note(step_label(step), text)
        self.records[id_] = Record(entry, computed=True)
        if watcher:
            watcher.end(step, step_label(step), self.records[id_])

    def _stuck(self, id_: str, printed: Printed) -> Callable[[], None] | None:
        """What is done, in another thread, about a stage that cannot be interrupted."""
        give_up = self.give_up
        if give_up is None:
            return None

        def abandon() -> None:
            printed.restore()
            give_up(id_)

        return abandon

    def _load(self, id_: str, watcher: Watcher | None) -> Artefact:
        """The artefact of a finished step; computed again if the store lost or damaged it."""
        artefact = self.store.read(self.records[id_].entry.digest)
        if artefact is None:
            if watcher:
                aside = self.store.quarantined.get(self.records[id_].entry.digest)
                what = "was gone from the store" if aside is None else f"was damaged in the store and is now {aside}"
                watcher.note(step_label(self.plan.steps[id_]), f"{what}: computed again")
            self._compute(id_, watcher)
            artefact = self.store.read(self.records[id_].entry.digest)
            assert artefact is not None
        return artefact


def _code_behind(step: Step) -> Iterator[Code]:
    """All code in the key of a step: its own and that of its plugins, with those inside them."""
    yield code_of(step.run.partition(":")[0])
    waiting = [*step.specs.values()]
    while waiting:
        spec = waiting.pop()
        yield from spec.code()
        waiting += [inner for _, inner in nested_specs(spec)]


def _brief(error: BaseException) -> str:
    """What a foreign error says, cut: a plugin may put a whole array into it."""
    text = str(error)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} letters)"


def _computes(plugin: dict[str, Any]) -> bool:
    """Whether a plugin, or one named inside it, computes with torch."""
    return "torch" in plugin["libraries"] or any(_computes(inner) for _, inner in plugin.get("inside", []))
