"""A run as a stream of events, for programs: one JSON object a line on standard output, see docs/events.md."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

from linkbench.api.executor import Failure
from linkbench.api.progress import Listener
from linkbench.execution.records import Record
from linkbench.execution.running import Running
from linkbench.plan.builder import Step

VERSION = 1
"""Raised when a field changes its meaning or goes; new fields and events may come at any time."""

OFTEN = 1.0
"""Seconds between two words about how far a step is."""


class Events:
    """Writes events to the standard output of the moment it is made, whatever plugins do to it later.

    A reader who goes away does not disturb the run.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.begun = time.monotonic()
        self.out: int | None = os.dup(1)
        self.lock = threading.Lock()
        self.ended: set[str] = set()

    def begin(self, step: Step, label: str, worker: str = "") -> Listener:
        self._tell("begin", step=step.id, stage=step.stage, label=label, worker=worker)
        running = Running(label, worker)
        told = -OFTEN

        def hear(done: int, total: int, at: str = "") -> None:
            nonlocal told
            running.hear(done, total, at)
            now = time.monotonic()
            if now - told >= OFTEN or done == total:
                told = now
                left = running.left()
                self._tell(
                    "progress", step=step.id, done=done, total=total, at=at,
                    seconds_left=None if left is None else round(left, 1),
                )  # fmt: skip

        return hear

    def note(self, label: str, text: str) -> None:
        self._tell("note", label=label, text=text)

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        self.ended.add(step.id)
        self._tell(
            "end",
            step=step.id,
            stage=step.stage,
            label=label,
            outcome="failed" if isinstance(outcome, Failure) else "computed" if outcome.computed else "cached",
            reason=outcome.reason if isinstance(outcome, Failure) else None,
            seconds=None if isinstance(outcome, Failure) else outcome.entry.seconds,
            digest=None if isinstance(outcome, Failure) else outcome.entry.digest,
            ended=len(self.ended),
            steps=self.steps,
        )

    def conclude(self, status: int, **fields: Any) -> None:
        """The last event: the exit status of the command, and what else there is to say."""
        self._tell("conclusion", status=status, seconds=round(time.monotonic() - self.begun, 3), **fields)

    def _tell(self, event: str, **fields: Any) -> None:
        record = {"version": VERSION, "event": event, "time": round(time.time(), 3), **fields}
        line = json.dumps(record).encode() + b"\n"
        with self.lock:
            try:
                while line and self.out is not None:
                    line = line[os.write(self.out, line) :]
            except OSError:  # nobody reads any more
                self.out = None
