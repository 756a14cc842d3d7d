"""Two runs beside each other, for a terminal, as a page and as JSON."""

from __future__ import annotations

import json
from typing import Any

from linkbench.report import document, numbers
from linkbench.report.brief import MARKS
from linkbench.report.tables import HEADINGS, place_text
from linkbench.results.cells import cleaned, varying
from linkbench.results.difference import Difference, Pair

ROWS = 12
"""Cells that a terminal shows, those told apart first, then by the size of the change."""

DIFFERING = 6
"""Lines of what differs that a terminal shows."""


def ordered(found: Difference) -> list[Pair]:
    """Those told apart first, then the largest changes."""
    return sorted(found.pairs, key=lambda pair: (pair.verdict == "open", -abs(pair.change.value)))


def conclusion(found: Difference) -> str:
    """What the comparison shows, in a sentence."""
    less, more = (sum(pair.verdict == verdict for pair in found.pairs) for verdict in ("less", "more"))
    alone = f"; {found.alone[0]} only in the first, {found.alone[1]} only in the second" if any(found.alone) else ""
    paired = sum(pair.paired for pair in found.pairs)
    how = "all paired by person" if paired == len(found.pairs) else f"{paired} of them paired by person"
    told = "nothing is told apart" if not less + more else (
        f"in the second run surely fewer are linked in {less}, surely more in {more}"
    )  # fmt: skip
    return f"{len(found.pairs)} cells in both, {how}: {told}{alone}."


def table(found: Difference, most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: where, success in both runs, and the change with its interval."""
    axes = varying([pair.place for pair in found.pairs]) or ["attacker"]
    heads = [*(HEADINGS.get(axis, axis) for axis in axes), "first", "second", "change", "interval"]
    rows = []
    for pair in ordered(found)[:most]:
        where = ["" if pair.place[axis] is None else cleaned(place_text(axis, pair.place[axis])) for axis in axes]
        change = f"{100 * pair.change.value:+.1f}{MARKS[pair.verdict]}{'' if pair.paired else ' (unpaired)'}"
        ends = f"{100 * pair.change.low:+.1f} to {100 * pair.change.high:+.1f}"
        rows.append([*where, numbers.percent(pair.first, ""), numbers.percent(pair.second, ""), change, ends])
    return heads, rows


def legend(found: Difference) -> str:
    """What the numbers are."""
    return (
        f"success@{found.k} of {found.n} in %, change in points with {100 * found.level:g}% interval; ↓ ↑ surely "
        f"fewer, more in the second, = cannot be told (corrected for {len(found.pairs)} cells)"
    )


def to_json(found: Difference) -> str:
    """The whole comparison."""
    document: dict[str, Any] = found._asdict()
    document["pairs"] = [{**pair._asdict(), "change": pair.change._asdict()} for pair in ordered(found)]
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def to_html(found: Difference, names: tuple[str, str]) -> str:
    """A page without script and without network."""
    heads, rows = table(found)
    return document.fill(
        document.source("compared.html"), document.source("page.css"),
        names=[cleaned(name) for name in names], heads=heads, rows=rows,
        differs=[cleaned(one) for one in found.differs], said=conclusion(found), legend=legend(found),
    )  # fmt: skip


def show(found: Difference, full: bool) -> None:
    """Print it: what differs, the cells that matter most, and the conclusion last."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    most = None if full else DIFFERING
    for line in found.differs[:most]:
        console.print(Text(cleaned(line), "dim"))
    if most is not None and len(found.differs) > most:
        console.print(Text(f"{len(found.differs) - most} more differences: --full", "dim"))
    heads, rows = table(found, None if full else ROWS)
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in heads:
        number = heading in ("first", "second", "change", "interval")
        grid.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    console.print(grid)
    left = len(found.pairs) - len(rows)
    console.print(Text(f"{f'{left} more cells: --full. ' if left else ''}{legend(found)}", "dim"))
    console.print(Text(conclusion(found), "bold"))
