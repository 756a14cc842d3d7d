"""How a run is shown to people: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from linkbench.execution.records import Watcher


@contextlib.contextmanager
def watcher(steps: int) -> Iterator[Watcher]:
    """Bars if standard error is a terminal, else lines."""
    if sys.stderr.isatty():
        from linkbench.execution.bars import Bars

        with Bars(steps) as bars:
            yield bars
    else:
        from linkbench.execution.lines import Lines

        with contextlib.closing(Lines(steps)) as lines:
            yield lines
