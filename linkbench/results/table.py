"""The tidy table: one row for each number of each cell."""

from __future__ import annotations

import csv
import io
from typing import Any, NamedTuple

from linkbench.plan.coordinates import COORDINATES

PLACE = tuple(name for name in COORDINATES if name != "seed")
"""Where in the grid a number was measured; the seed stands further back."""

NUMBERS = ("metric", "k", "n", "value", "ci_low", "ci_high")
"""What was measured there."""

COLUMNS = (*PLACE, *NUMBERS, "seed", "flags", "cell")


class Row(NamedTuple):
    """One number of one cell, with its interval; flags are words separated by ';'."""

    cohort: str
    genomes: str
    model: str
    poison: str
    defender: str
    epsilon: float | None
    channel: str
    attacker: str
    metric: str
    k: int | None
    n: int | None
    value: float
    ci_low: float
    ci_high: float
    seed: int
    flags: str
    cell: str


def to_csv(rows: list[Row]) -> str:
    """The tidy table; numbers in the shortest form that reads back to the same value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([["" if value is None else value for value in map(escaped, row)] for row in rows])
    return text.getvalue()


FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet may take for the beginning of a formula, or of a quoted text."""


def escaped(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: such a text gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def from_csv(text: str) -> list[Row]:
    """The rows again. Raises ValueError where this is no such table."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(reader.fieldnames or COLUMNS) != COLUMNS:
        raise ValueError(f"it has the columns {', '.join(reader.fieldnames or ())}; expected {', '.join(COLUMNS)}")
    return [_row(line) for line in reader]


def _row(line: dict[str, str]) -> Row:
    kinds: dict[str, Any] = {"k": int, "n": int, "seed": int}
    kinds |= {"value": float, "ci_low": float, "ci_high": float, "epsilon": float}
    optional = {"k", "n", "epsilon"}
    values = (None if name in optional and not line[name] else kinds.get(name, _text)(line[name]) for name in COLUMNS)
    return Row._make(values)


def _text(value: str) -> str:
    return value.removeprefix("'")
