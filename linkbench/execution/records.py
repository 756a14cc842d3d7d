"""What is known of the steps of a run, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Protocol

from linkbench.api.base import Executor
from linkbench.api.data import Artefact
from linkbench.api.executor import Failure
from linkbench.api.progress import Listener
from linkbench.execution.keys import key_of
from linkbench.plan.builder import Plan, Step
from linkbench.store.store import Store, Stored


class Record(NamedTuple):
    """What happened to one step: its entry in the store, and whether it was computed now."""

    entry: Stored
    computed: bool


class Watcher(Protocol):
    """Somebody who wants to see how a run proceeds. Several steps may be computed at once."""

    def begin(self, step: Step, label: str, worker: str) -> Listener | None:
        """A step starts to compute, by a worker ("" is the run itself); returns who hears of its progress."""

    def note(self, label: str, text: str) -> None:
        """A plugin of the step did something that it should not, and that harmed nobody."""

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        """The step is done, or failed. One that was in the store, or was computed in no time, may not have begun."""


class RunOutcome(NamedTuple):
    """A finished run: what happened to every step, and for each cell that succeeded what its last stages left."""

    records: dict[str, Record]
    failures: dict[str, Failure]
    cells: dict[str, dict[str, Artefact]]


def step_label(step: Step) -> str:
    """`protect joint-pgd`: the stage and the plugins it uses."""
    return " ".join([step.stage, *(spec.label for spec in step.specs.values())])


class Ledger:
    """The plan of a run, how it is to be carried out, and what happened to each of its steps.

    limit: seconds that one stage may take; given_up: ids of steps that took longer in an earlier attempt and could not
    be interrupted; give_up: called with the id of such a step, from another thread, with standard output in order;
    executor: who carries out the steps, by default the run itself.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        device: str = "cpu",
        limit: float | None = None,
        given_up: Collection[str] = (),
        give_up: Callable[[str], None] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.device = device
        self.limit = limit
        self.given_up, self.give_up = given_up, give_up
        self.executor = executor
        self.records: dict[str, Record] = {}
        self.failures: dict[str, Failure] = {}

    def key(self, step: Step) -> dict[str, Any] | None:
        """Everything that decides the result of a step; None while an input is not known yet."""
        if any(id_ not in self.records for id_ in step.inputs.values()):
            return None
        return key_of(step, self.digests(step), self.device)

    def digests(self, step: Step) -> dict[str, str]:
        """The digests of a step's inputs, which are all known, by the name of the input."""
        return {name: self.records[id_].entry.digest for name, id_ in step.inputs.items()}
