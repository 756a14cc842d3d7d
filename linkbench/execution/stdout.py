"""Keeps what plugins print out of the tables that linkbench prints."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

LIMIT = 1 << 16
"""Bytes of what was printed that are kept."""


class Printed:
    """What was printed while standard output was captured, once that has ended."""

    def __init__(self) -> None:
        self.text = ""
        self.saved: int | None = None

    def brief(self) -> str:
        """The first line, shortened, and how many there are."""
        lines = self.text.strip().splitlines() or [""]
        first = "".join(letter if letter.isprintable() else "?" for letter in lines[0])
        shown = repr(first if len(first) <= 60 else first[:57] + "...")
        return shown if len(lines) == 1 else f"{shown} and {len(lines) - 1} more lines"

    def restore(self) -> None:
        """Give the process its standard output back; from any thread, more than once."""
        saved, self.saved = self.saved, None
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


@contextlib.contextmanager
def captured(printed: Printed | None = None) -> Iterator[Printed]:
    """Send all that is written to standard output, by Python, by libraries and by other processes, into a file."""
    printed = Printed() if printed is None else printed
    with tempfile.TemporaryFile("w+b") as file:
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):  # there is no standard output
            printed.saved = os.dup(1)
            os.dup2(file.fileno(), 1)
        writer = open(os.dup(file.fileno()), "w", encoding="utf-8", errors="replace", buffering=1)  # noqa: SIM115
        try:
            with contextlib.redirect_stdout(writer):
                yield printed
        finally:
            with contextlib.suppress(ValueError, OSError):
                writer.close()
            printed.restore()
            file.seek(0)
            printed.text = file.read(LIMIT).decode("utf-8", "replace")
