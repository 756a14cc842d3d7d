"""A run in a log: lines for stages that took a while, one line for many that did not, now and then a sign of life."""

from __future__ import annotations

import threading
import time
from collections import Counter

import click

from linkbench.api.executor import Failure
from linkbench.api.progress import Listener
from linkbench.execution.records import Record
from linkbench.execution.running import Running, duration
from linkbench.plan.builder import Step

TRIVIAL = 1.0
"""Seconds below which stages share a line."""

HEARTBEAT = 60.0
"""Seconds after which a line says what is going on, if there was none."""


class Lines:
    """Lines on standard error; stages from the store are silent. Closing it says what is left to say."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.ended: set[str] = set()  # a step that had to be repaired ends twice
        self.running: dict[str, Running] = {}
        self.trivial: Counter[str] = Counter()
        self.seconds = 0.0
        self.begun = self.spoken = time.monotonic()
        self.lock = threading.Lock()
        self.closed = threading.Event()
        threading.Thread(target=self._live, daemon=True).start()

    def begin(self, step: Step, label: str, worker: str = "") -> Listener:
        with self.lock:
            running = self.running[step.id] = Running(label, worker)
        return running.hear

    def note(self, label: str, text: str) -> None:
        with self.lock:
            self._say(f"note: {label} {text}")

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        with self.lock:
            self.running.pop(step.id, None)
            if isinstance(outcome, Failure):
                self._flush()
                self.ended.add(step.id)
                self._say(f"{self._place()} {label} FAILED: {outcome.reason}")
            elif not outcome.computed:
                self.ended.add(step.id)
            elif outcome.entry.seconds < TRIVIAL:
                self.ended.add(step.id)
                self.trivial[step.stage] += 1
                self.seconds += outcome.entry.seconds
            else:
                self._flush()
                self.ended.add(step.id)
                self._say(f"{self._place()} {label}: {duration(outcome.entry.seconds)}")

    def close(self) -> None:
        """The run is over."""
        self.closed.set()
        with self.lock:
            self._flush()

    def _place(self) -> str:
        return f"[{len(self.ended)}/{self.steps}]"

    def _flush(self) -> None:
        if self.trivial:
            stages = ", ".join(f"{count} {stage}" for stage, count in self.trivial.items())
            self._say(f"{self._place()} {stages}: {duration(self.seconds)}")
            self.trivial.clear()
            self.seconds = 0.0

    def _say(self, text: str) -> None:
        self.spoken = time.monotonic()
        click.echo(text, err=True)

    def _live(self) -> None:
        while not self.closed.wait(max(0.0, self.spoken + HEARTBEAT - time.monotonic())):
            with self.lock:
                if time.monotonic() < self.spoken + HEARTBEAT or self.closed.is_set():
                    continue
                self._flush()
                at = "; ".join(running.text() for running in self.running.values()) or "waiting"
                self._say(f"{self._place()} after {duration(time.monotonic() - self.begun)}: {at}")
