"""How a run is shown: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from linkbench.execution.run import Failure, Record, Watcher
from linkbench.plan.builder import Step


@contextlib.contextmanager
def watcher(steps: int) -> Iterator[Watcher]:
    """Bars if standard error is a terminal, else one line for each stage that was computed."""
    if not sys.stderr.isatty():
        yield _Lines(steps)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress, steps)


class _Lines:
    """One line per computed or failed stage; stages from the store are silent."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.ended: set[str] = set()  # a step that had to be repaired ends twice

    def begin(self, step: Step, label: str) -> Callable[[int, int], None] | None:
        self.begun = time.perf_counter()
        return None

    def note(self, label: str, text: str) -> None:
        click.echo(f"note: {label} {text}", err=True)

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        self.ended.add(step.id)
        place = f"[{len(self.ended)}/{self.steps}] {label}"
        if isinstance(outcome, Failure):
            click.echo(f"{place} FAILED: {outcome.reason}", err=True)
        elif outcome.computed:
            click.echo(f"{place}: {outcome.entry.seconds:.1f} s", err=True)


class _Bars:
    """One bar for the run and one for the running stage."""

    def __init__(self, progress: Any, steps: int) -> None:
        self.progress = progress
        self.all = progress.add_task("stages", total=steps)
        self.current: Any = None

    def begin(self, step: Step, label: str) -> Callable[[int, int], None]:
        self.current = self.progress.add_task(label, total=None)
        return lambda done, total: self.progress.update(self.current, completed=done, total=total or None)

    def note(self, label: str, text: str) -> None:
        from rich.markup import escape

        self.progress.console.print(f"[yellow]note[/] {escape(label)} {escape(text)}")

    def end(self, step: Step, label: str, outcome: Record | Failure) -> None:
        if self.current is not None:
            self.progress.remove_task(self.current)
            self.current = None
        self.progress.advance(self.all)
        if isinstance(outcome, Failure):
            from rich.markup import escape

            self.progress.console.print(f"[red]failed[/] {escape(label)}: {escape(outcome.reason)}")
