"""Which step of a run is next, who carries it out, and what becomes of what is heard of it."""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, NamedTuple

from linkbench.api.data import Artefact
from linkbench.api.executor import Failure, Job, JobReport, Progress, Site, WorkerLostError, Workers
from linkbench.api.progress import Listener
from linkbench.api.text import shown
from linkbench.errors import InputError, StoreError, WorkerError
from linkbench.execution.job import Order, carry_out, carry_out_away, reason
from linkbench.execution.keys import edited
from linkbench.execution.limits import GRACE, OverdueError
from linkbench.execution.records import Ledger, Record, Watcher, step_label
from linkbench.harness.proposals import expect
from linkbench.plan.builder import Step
from linkbench.store.marks import Marks
from linkbench.store.store import Stored, digest_of, quarantine_name

LISTEN = 0.1
"""Seconds after which the progress of workers is asked for, if nothing else happens."""

ATTEMPTS = 2
"""How often a step is tried whose worker ends while it is at it: somebody may have killed the worker, or the step."""

REPAIRS = 3
"""How often a step is computed again in one run because the store lost what it left."""

AGAIN = 2.0
"""Seconds after which it is looked again whether another run has finished what this one waits for."""

WEIGHT = {"train": 100, "poison": 30, "protect": 10}
"""How long stages take, roughly, next to all others: what much waits for is done first."""


class _Flight(NamedTuple):
    """A step at a worker: what was ordered, and who wants to hear of it."""

    id: str
    order: Order
    attempt: int


class Schedule:
    """The state of a run that is being carried out; all of it belongs to one thread."""

    def __init__(self, run: Ledger, watcher: Watcher | None, interrupted: Callable[[], bool]) -> None:
        self.run, self.watcher, self.interrupted = run, watcher, interrupted
        self.steps = run.plan.steps
        self.place = {id_: place for place, id_ in enumerate(self.steps)}
        self.children: dict[str, list[str]] = {id_: [] for id_ in self.steps}
        for id_, step in self.steps.items():
            for other in set(step.inputs.values()):
                self.children[other].append(id_)
        self.urgency = _urgency(self.steps, self.children)
        self.ready = deque(id_ for id_ in self.steps if id_ not in run.records and id_ not in run.failures)
        self.waiting = set(self.ready)
        self.queue: list[tuple[int, int, str]] = []
        self.small: list[tuple[int, int, str]] = []
        self.flights: dict[Future[JobReport], _Flight] = {}
        self.begun: dict[str, tuple[float, Listener | None]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.twins: dict[str, list[str]] = {}
        self.repairs: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.marks = Marks(run.store.blobs)
        self.elsewhere: dict[str, str] = {}
        """Steps that are being computed by other runs, and by whom."""
        self.looked = 0.0
        self.workers: Workers | None = None
        self.alone = run.executor is None
        self.expected = False  # whether it is known here which plugins will want a process of their own

    def close(self) -> None:
        """End the workers, whatever they do."""
        self.marks.close()
        if self.workers is not None:
            self.workers.close()

    def load(self, id_: str) -> Artefact:
        """The artefact of a finished step; computed again if the store lost or damaged it. Raises StoreError."""
        while True:
            artefact = self.run.store.read(self.run.records[id_].entry.digest)
            if artefact is not None:
                return artefact
            self._lose(id_)
            self.settle()
            if id_ in self.run.failures:
                raise StoreError(
                    f"{step_label(self.steps[id_])} had to be computed again: {self.run.failures[id_].reason}"
                )

    def settle(self) -> None:
        """Carry out what is left: afterwards every step is recorded or failed."""
        while self.ready or self.queue or self.small or self.flights or self.elsewhere:
            while self.ready:
                self._look_up(self.ready.popleft())
            self._hand_out()
            self._look_elsewhere()
            if not self.ready and self.flights:
                self._listen(0.0 if self.small else LISTEN)
            elif self.elsewhere and not (self.ready or self.queue or self.small):
                time.sleep(LISTEN)

    def _look_elsewhere(self) -> None:
        """What other runs were computing may be done, or they may have ended."""
        if time.monotonic() - self.looked < AGAIN:
            return
        self.looked = time.monotonic()
        for id_ in list(self.elsewhere):
            if not self._found(id_) and not self._is_elsewhere(id_):
                heapq.heappush(self.queue, self._rank(id_))

    def _found(self, id_: str) -> bool:
        """Whether another run has finished a step that is in line here."""
        entry = self.run.store.find(self.keys[id_])
        if entry is None:
            return False
        self.elsewhere.pop(id_, None)
        self._end(id_, Record(entry, computed=False))
        self._leave_line(id_)
        return True

    def _is_elsewhere(self, id_: str) -> bool:
        """Whether another run is computing a step; else it is marked as this run's."""
        owner = self.marks.take(self.keys[id_])
        if not owner:
            self.elsewhere.pop(id_, None)
        elif self.elsewhere.get(id_) != owner:
            self.elsewhere[id_] = owner
            self._note(id_, f"is being computed by another run ({owner}), which is waited for")
        return bool(owner)

    def _is_done_for(self, id_: str) -> bool:
        """Whether another run does, or has just done, what a step here is to do; trifles are done twice instead."""
        if id_ in self.repairs or not self.steps[id_].resources(self.run.device).cores:
            return False
        return self._is_elsewhere(id_) or self._found(id_)

    def _look_up(self, id_: str) -> None:
        """A step whose inputs may all be settled: take it from the store, or get in line to compute it."""
        step = self.steps[id_]
        if id_ not in self.waiting or id_ in self.keys:
            return
        failed = next((self.run.failures[other] for other in step.inputs.values() if other in self.run.failures), None)
        if failed is not None:
            self._end(id_, failed, heard=False)
            return
        if any(other not in self.run.records for other in step.inputs.values()):
            return  # it comes again with the last of its inputs
        try:
            key = self.run.key(step)
            entry = self.run.store.find(key) if key and id_ not in self.repairs else None
        except StoreError:
            raise  # without a store there is nothing to go on with
        except Exception as error:  # a file of the user's that cannot be read
            self._fail(id_, error)
            return
        if entry is not None:
            self._end(id_, Record(entry, computed=False))
        elif id_ in self.run.given_up:
            self._fail(id_, OverdueError())
        else:
            assert key is not None
            self._line_up(id_, key)

    def _line_up(self, id_: str, key: dict[str, Any]) -> None:
        name = digest_of(key)
        if name in self.twins:  # the same work is under way for another step
            self.twins[name].append(id_)
            return
        self.twins[name] = []
        self.keys[id_] = key
        light = not self.steps[id_].resources(self.run.device).cores
        heapq.heappush(self.small if light else self.queue, self._rank(id_))

    def _rank(self, id_: str) -> tuple[int, int, str]:
        """Where it stands in line: what much waits for first; alone, the order of the plan."""
        return 0 if self.alone else -self.urgency[id_], self.place[id_], id_

    def _hand_out(self) -> None:
        """Give workers what they can take; do the rest here, a step at a time."""
        if self.queue and self.workers is None and not self.alone:
            self._engage()
        workers = self.workers
        if workers is None:
            line = self.small if not self.queue or (self.small and self.small[0] < self.queue[0]) else self.queue
            if line:
                self._here(heapq.heappop(line)[2])
            return
        for line in (self.queue, self.small):
            while line and (not self.flights or workers.accepts(self.steps[line[0][2]].resources(self.run.device))):
                self._away(workers, heapq.heappop(line)[2])
        if self.small:
            self._here(heapq.heappop(self.small)[2])

    def _engage(self) -> None:
        """Start the workers, now that there is work for them."""
        executor = self.run.executor
        assert executor is not None
        left = [self.steps[id_] for id_ in self.waiting]
        packages = {name for step in left if step.on_device for name in ("numpy", "torch")}
        self.workers = executor.start(Site(self.run.device, len(left), tuple(sorted(packages))))
        self.alone = self.workers is None

    def _order(self, id_: str) -> Order | None:
        """What is to be done for a step that was in line; None where an input has been lost meanwhile."""
        step, key = self.steps[id_], self.keys[id_]
        if any(other not in self.run.records for other in step.inputs.values()):
            self._leave_line(id_)
            return None
        inputs = self.run.digests(step)
        if inputs != key["inputs"]:  # one had to be computed again, and is another now
            self._leave_line(id_)
            self.ready.append(id_)
            return None
        if self._is_done_for(id_):
            return None
        return Order(step, step_label(step), key, inputs, self.run.device, self.run.limit, os.getcwd())

    def _leave_line(self, id_: str) -> None:
        """The step is not under way any more; those with the same work look again."""
        key = self.keys.pop(id_)
        self.marks.drop(key)
        self.ready.extend(self.twins.pop(digest_of(key)))

    def _here(self, id_: str) -> None:
        order = self._order(id_)
        if order is None:
            return
        if not self.expected:
            self.expected = True
            steps = self.steps.values()
            expect((step.specs.values() for step in steps), any(step.on_device for step in steps))
        give_up = self.run.give_up
        listener = self.watcher.begin(order.step, order.label, "") if self.watcher else None
        stuck = None if give_up is None else partial(give_up, id_)
        self._heard(
            _Flight(id_, order, 1),
            carry_out(order, self.run.store, listener, interrupted=self.interrupted, stuck=stuck),
        )

    def _away(self, workers: Workers, id_: str) -> None:
        order = self._order(id_)
        if order is None:
            return
        assert self.run.executor is not None
        work = partial(carry_out_away, order, self.run.store.address, self.run.executor.elsewhere)
        job = Job(id_, order.label, order.step.resources(self.run.device), work)
        self.attempts[id_] = self.attempts.get(id_, 0) + 1
        self.flights[workers.submit(job)] = _Flight(id_, order, self.attempts[id_])

    def _listen(self, patience: float) -> None:
        """Hear of progress, of jobs that have ended, and of those that take too long."""
        assert self.workers is not None
        done, _ = wait(self.flights, timeout=patience, return_when=FIRST_COMPLETED)
        for heard in self.workers.progress():
            self._progress(heard)
        for future in done:
            flight = self.flights.pop(future)
            error = future.exception()
            report = self._bereaved(flight, error) if isinstance(error, WorkerLostError) else future.result()
            if report is not None:
                self._heard(flight, report)
        self._end_overdue()

    def _progress(self, heard: Progress) -> None:
        id_ = heard.job
        if not any(flight.id == id_ for flight in self.flights.values()):
            return  # it has ended since
        if id_ not in self.begun:
            step = self.steps[id_]
            listener = self.watcher.begin(step, step_label(step), heard.worker) if self.watcher else None
            self.begun[id_] = time.monotonic(), listener
        listener = self.begun[id_][1]
        if listener is not None and (heard.done or heard.total):
            listener(heard.done, heard.total, heard.at)

    def _end_overdue(self) -> None:
        """A worker whose stage cannot be interrupted is ended from outside."""
        if self.run.limit is None or self.workers is None:
            return
        for flight in self.flights.values():
            since = self.begun.get(flight.id)
            if since is not None and time.monotonic() > since[0] + self.run.limit + 2 * GRACE:
                self.begun[flight.id] = float("inf"), since[1]
                self.attempts[flight.id] = -1
                self.workers.stop(flight.id)

    def _bereaved(self, flight: _Flight, error: WorkerLostError) -> JobReport | None:
        """The worker is gone: its step is tried once more, or has failed."""
        if self.attempts[flight.id] < 0:
            return JobReport(failure=self._failure(flight.id, OverdueError()))
        if flight.attempt < ATTEMPTS:
            self._note(flight.id, f"lost its worker: {error}; it is tried once more")
            self.begun.pop(flight.id, None)
            heapq.heappush(self.queue, self._rank(flight.id))
            return None
        text = f"its worker ended before it did, {flight.attempt} times: {error}"
        return JobReport(failure=Failure(flight.order.label, text, False, text))

    def _heard(self, flight: _Flight, report: JobReport) -> None:
        """What came of a step that was to be computed."""
        id_, order = flight.id, flight.order
        self.begun.pop(id_, None)
        for text in report.notes:
            self._note(id_, text)
        if report.refused:
            raise WorkerError(f"a worker cannot carry out {order.label}: {report.refused}")
        if report.missing:
            self._lose(order.step.inputs[report.missing])
        elif report.failure is not None:
            self.run.store.find(order.key)  # raises where it is the store that failed, for all steps
            self._end(id_, report.failure)
        else:
            if edited(order.step):
                self.run.store.forget(order.key)
                self._note(id_, "its code was edited while it ran; the next run computes it again")
            self._end(id_, Record(Stored(order.key, report.digest, report.seconds), computed=True))
        self._leave_line(id_)

    def _end(self, id_: str, outcome: Record | Failure, *, heard: bool = True) -> None:
        """A step is settled; those that need it may be next."""
        step = self.steps[id_]
        self.waiting.discard(id_)
        if isinstance(outcome, Failure):
            self.run.failures[id_] = outcome
        else:
            self.run.records[id_] = outcome
        if self.watcher and heard:
            self.watcher.end(step, step_label(step), outcome)
        self.ready.extend(self.children[id_])

    def _fail(self, id_: str, error: BaseException) -> None:
        self._end(id_, self._failure(id_, error))

    def _failure(self, id_: str, error: BaseException) -> Failure:
        said = reason(error, self.run.limit)
        return Failure(step_label(self.steps[id_]), said, isinstance(error, InputError), said)

    def _lose(self, id_: str) -> None:
        """The store has lost, or damaged, what a step left: it is computed again."""
        record = self.run.records.pop(id_, None)
        if record is None:
            return  # it is being computed again already
        aside, store = quarantine_name(record.entry.digest), self.run.store
        damaged = store.blobs.info(aside) is not None
        what = f"was damaged in the store and is now {store.address}/{aside}" if damaged else "was gone from the store"
        self.repairs[id_] = self.repairs.get(id_, 0) + 1
        if self.repairs[id_] > REPAIRS:
            self._fail(id_, StoreError(f"the store {store.address} loses what is written to it: it {what} again"))
            return
        self._note(id_, f"{what}: computed again")
        self.waiting.add(id_)
        self.ready.append(id_)

    def _note(self, id_: str, text: str) -> None:
        if self.watcher:
            self.watcher.note(step_label(self.steps[id_]), shown(text))


def _urgency(steps: dict[str, Step], children: dict[str, list[str]]) -> dict[str, int]:
    """How much work, roughly, waits behind each step one after the other, its own included."""
    out: dict[str, int] = {}
    for id_ in reversed(steps):
        out[id_] = WEIGHT.get(steps[id_].stage, 1) + max((out[child] for child in children[id_]), default=0)
    return out
