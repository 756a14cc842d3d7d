"""A run on a terminal: one bar for the whole, and one for each stage that is being computed."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from linkbench.api.executor import Failure
from linkbench.api.progress import Listener
from linkbench.execution.records import Record
from linkbench.execution.running import Running
from linkbench.plan.builder import Step


class Bars:
    """A context in which the bars stand on standard error."""

    def __init__(self, steps: int, console: Console | None = None) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[far]}", markup=False),
            TimeElapsedColumn(),
        )
        self.progress = Progress(*columns, console=console or Console(stderr=True), transient=True)
        self.steps = steps
        self.all = self.progress.add_task("stages", total=steps, far=f"0/{steps}")
        self.ended: set[str] = set()  # a step that had to be repaired ends twice
        self.bars: dict[str, Any] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.progress.stop()

    def begin(self, step: Step, label: str, worker: str = "") -> Listener:
        running = Running(label, worker)
        with self.lock:
            bar = self.bars[step.id] = self.progress.add_task(running.text(), total=None, far="")

        def hear(done: int, total: int, at: str = "") -> None:
            running.hear(done, total, at)
            self.progress.update(bar, completed=done, total=total or None, far=running.how_far())

        return hear

    def note(self, label: str, text: str) -> None:
        self.progress.console.print(f"[yellow]note[/] {escape(label)} {escape(text)}", highlight=False)

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        with self.lock:
            if step.id in self.bars:
                self.progress.remove_task(self.bars.pop(step.id))
            self.ended.add(step.id)
            self.progress.update(self.all, completed=len(self.ended), far=f"{len(self.ended)}/{self.steps}")
        if isinstance(outcome, Failure):
            self.progress.console.print(f"[red]failed[/] {escape(label)}: {escape(outcome.reason)}", highlight=False)
