"""Which step of a run is next, who carries it out, and what becomes of what is heard of it."""

from __future__ import annotations

import heapq
import math
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
from linkbench.api.resources import Resources
from linkbench.api.text import shown
from linkbench.errors import InputError, StoreError, WorkerError
from linkbench.execution.job import Order, carry_out, carry_out_away, reason
from linkbench.execution.keys import computes, edited
from linkbench.execution.limits import GRACE, OverdueError
from linkbench.execution.records import Ledger, Record, Watcher, step_label
from linkbench.execution.splitting import JOIN, WHOLE, Split, Work
from linkbench.harness.proposals import expect
from linkbench.plan.builder import Step
from linkbench.stages.parts import cut_of
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
    """A piece of work at a worker: what was ordered, and how often it has been tried."""

    work: Work
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
        self.queue: list[tuple[int, int, Work]] = []
        self.small: list[tuple[int, int, Work]] = []
        self.splits: dict[str, Split] = {}
        self.flights: dict[Future[JobReport], _Flight] = {}
        self.begun: dict[str, Listener | None] = {}
        self.since: dict[Work, float] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.twins: dict[str, list[str]] = {}
        self.repairs: dict[str, int] = {}
        self.attempts: dict[Work, int] = {}
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
                self._queue(id_)

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
        if id_ in self.repairs:
            return False
        light = not self.steps[id_].resources(self.run.device).cores
        return (not light and self._is_elsewhere(id_)) or self._found(id_)

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
        if not self.steps[id_].resources(self.run.device).cores and (self.alone or not computes(key)):
            heapq.heappush(self.small, self._rank(Work(id_)))
            return
        if self.workers is None and not self.alone:
            self._engage()
        if self.workers is not None and self.workers.capacity > 1:
            step, store = self.steps[id_], self.run.store
            digests = self.run.digests(step)
            cut = cut_of(step, lambda name: store.peek(digests[name]), self.run.device)
            if cut.parts:
                self.splits[id_] = Split(key, cut, store)
        self._queue(id_)

    def _queue(self, id_: str) -> None:
        """Put a step in line, piece by piece."""
        for number in self.splits[id_].left() if id_ in self.splits else [WHOLE]:
            heapq.heappush(self.queue, self._rank(Work(id_, number)))

    def _rank(self, work: Work) -> tuple[int, int, Work]:
        """Where it stands in line: what much waits for first; alone, the order of the plan."""
        return 0 if self.alone else -self.urgency[work.id], self.place[work.id], work

    def _hand_out(self) -> None:
        """Give workers what they can take; do the rest here, a step at a time."""
        workers = self.workers
        if workers is None:
            line = self.small if not self.queue or (self.small and self.small[0] < self.queue[0]) else self.queue
            if line:
                self._here(heapq.heappop(line)[2])
            return
        while self.queue and (not self.flights or workers.accepts(self._needs(self.queue[0][2]))):
            self._away(workers, heapq.heappop(self.queue)[2])
        while self.small and workers.accepts(self._needs(self.small[0][2])):
            self._away(workers, heapq.heappop(self.small)[2])
        if self.small:
            self._here(heapq.heappop(self.small)[2])

    def _needs(self, work: Work) -> Resources:
        return self.steps[work.id].resources(self.run.device)

    def _engage(self) -> None:
        """Start the workers, now that there is work for them."""
        executor = self.run.executor
        assert executor is not None
        left = [self.steps[id_] for id_ in self.waiting]
        packages = {name for step in left if step.on_device for name in ("numpy", "torch")}
        self.workers = executor.start(Site(self.run.device, len(left), tuple(sorted(packages))))
        self.alone = self.workers is None

    def _order(self, work: Work) -> Order | None:
        """What is to be done for a piece of work that was in line; None where that is no more so."""
        id_, split = work.id, self.splits.get(work.id)
        if (
            id_ not in self.keys
            or (split is None) != (work.number == WHOLE)
            or (split and not split.wanted(work.number))
        ):
            return None
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
        order = Order(step, step_label(step), key, inputs, self.run.device, self.run.limit, os.getcwd())
        return order if split is None else split.order(order, work.number)

    def _leave_line(self, id_: str) -> None:
        """The step is not under way any more; those with the same work look again."""
        self.splits.pop(id_, None)
        self.begun.pop(id_, None)
        key = self.keys.pop(id_)
        self.marks.drop(key)
        self.ready.extend(self.twins.pop(digest_of(key)))

    def _here(self, work: Work) -> None:
        order = self._order(work)
        if order is None:
            return
        if not self.expected:
            self.expected = True
            steps = self.steps.values()
            expect((step.specs.values() for step in steps), any(step.on_device for step in steps))
        give_up = self.run.give_up
        listener = self.watcher.begin(order.step, order.label, "") if self.watcher else None
        stuck = None if give_up is None else partial(give_up, work.id)
        self._heard(
            _Flight(work, order, 1),
            carry_out(order, self.run.store, listener, interrupted=self.interrupted, stuck=stuck),
        )

    def _away(self, workers: Workers, work: Work) -> None:
        order = self._order(work)
        if order is None:
            return
        assert self.run.executor is not None
        if work.id in self.splits:
            self.splits[work.id].away.add(work.number)
        function = partial(carry_out_away, order, self.run.store.address, self.run.executor.elsewhere)
        attempt = self.attempts[work] = self.attempts.get(work, 0) + 1
        job = Job(work.job, order.label, self._needs(work), function)
        self.flights[workers.submit(job)] = _Flight(work, order, attempt)

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
        work = next((flight.work for flight in self.flights.values() if flight.work.job == heard.job), None)
        if work is None:
            return  # it has ended since
        self.since.setdefault(work, time.monotonic())
        split = self.splits.get(work.id)
        if work.id not in self.begun:
            step = self.steps[work.id]
            where = heard.worker if split is None else f"{len(split.cut.parts)} parts"
            self.begun[work.id] = self.watcher.begin(step, step_label(step), where) if self.watcher else None
        listener = self.begun[work.id]
        if listener is not None and split is None and (heard.done or heard.total):
            listener(heard.done, heard.total, heard.at)

    def _end_overdue(self) -> None:
        """A worker whose stage cannot be interrupted is ended from outside."""
        if self.run.limit is None or self.workers is None:
            return
        for work in [flight.work for flight in self.flights.values()]:
            if time.monotonic() > self.since.get(work, math.inf) + self.run.limit + 2 * GRACE:
                self.since[work] = math.inf
                self.attempts[work] = -1
                self.workers.stop(work.job)

    def _bereaved(self, flight: _Flight, error: WorkerLostError) -> JobReport | None:
        """The worker is gone: its step is tried once more, or has failed."""
        work = flight.work
        if self.attempts[work] < 0:
            return JobReport(failure=self._failure(work.id, OverdueError()))
        if flight.attempt < ATTEMPTS:
            self._note(work.id, f"lost its worker: {error}; it is tried once more")
            self.since.pop(work, None)
            if work.id in self.splits:
                self.splits[work.id].away.discard(work.number)
            heapq.heappush(self.queue, self._rank(work))
            return None
        text = f"its worker ended before it did, {flight.attempt} times: {error}"
        return JobReport(failure=Failure(flight.order.label, text, False, text))

    def _heard(self, flight: _Flight, report: JobReport) -> None:
        """What came of a piece of work."""
        work, order, split = flight.work, flight.order, self.splits.get(flight.work.id)
        self.since.pop(work, None)
        if report.refused:
            raise WorkerError(f"a worker cannot carry out {order.label}: {report.refused}")
        if work.number != WHOLE and (split is None or split.key_of(work.number) != order.key):
            return  # the step has failed meanwhile, or has begun anew
        for text in report.notes:
            if split is None or text not in split.noted:
                self._note(work.id, text)
        if split is not None:
            split.noted.update(report.notes)
        if report.missing:
            self._without(work, order, report.missing)
        elif report.failure is not None:
            self.run.store.find(order.key)  # raises where it is the store that failed, for all steps
            self._end(work.id, report.failure)
            self._leave_line(work.id)
        elif split is not None and work.number != JOIN:
            self._part_done(work, split, Stored(order.key, report.digest, report.seconds))
        elif split is not None and not split.last:
            self._round_done(work, split, Stored(order.key, report.digest, report.seconds))
        else:
            self._computed(order, work.id, Stored(order.key, report.digest, report.seconds))

    def _computed(self, order: Order, id_: str, entry: Stored) -> None:
        store, split = self.run.store, self.splits.get(id_)
        if edited(order.step):
            store.forget(order.key)
            self._note(id_, "its code was edited while it ran; the next run computes it again")
        for piece in split.entries() if split is not None else ():
            store.discard(piece)
        self._end(id_, Record(entry, computed=True))
        self._leave_line(id_)

    def _part_done(self, work: Work, split: Split, entry: Stored) -> None:
        split.done[work.number] = entry
        listener = self.begun.get(work.id)
        if listener is not None:
            listener(*split.photos(), "")
        if split.left() == [JOIN]:
            heapq.heappush(self.queue, self._rank(Work(work.id, JOIN)))

    def _round_done(self, work: Work, split: Split, entry: Stored) -> None:
        split.advance(entry, split.round + 1, self.run.store)
        self.attempts = {other: count for other, count in self.attempts.items() if other.id != work.id}
        self._queue(work.id)

    def _without(self, work: Work, order: Order, name: str) -> None:
        """The store had lost an input, or a part that was to be joined: the step begins anew once that is there."""
        if work.id in self.splits and self.splits[work.id].missed(name, self.run.store):
            self.ready.append(work.id)
        else:
            self._lose(order.step.inputs[name])
        self._leave_line(work.id)

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
