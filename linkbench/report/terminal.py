"""The results in a terminal: on one screen, or in full one line per cell, with as many numbers as there is room for."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from linkbench.report import brief, flags_text, ladder, numbers, summary, theorem
from linkbench.report.costs import Lines, costs
from linkbench.report.tables import HEADINGS, constant_places, place_text
from linkbench.results.cells import (
    Failed,
    MeasuredCell,
    Value,
    chance,
    cleaned,
    coordinates,
    grouped,
    roles,
    short,
    shown_sizes,
    top_k,
    varying,
)
from linkbench.results.results import Results

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from linkbench.results.verdicts import Setting

GROUPS = ("cohort", "genomes", "model", "channel")
"""Coordinates that get a table of their own for each value."""

FEW = 10
"""Cells that are named below the reason why they failed."""

PLAIN = str.maketrans(
    {"–": "-", "—": "-", "×": "x", "ε": "eps", "∞": "inf", "…": "...", "·": "-", "↓": "<", "↑": ">", "─": "-"}
)
"""What to write where the terminal knows ASCII only."""


class Detail(NamedTuple):
    """How much a table shows: intervals beside or below the first k, beside all k, and whether other k are shown."""

    intervals: str
    all_intervals: bool
    others: bool


DETAILS = (
    Detail("beside", True, True),
    Detail("beside", False, True),
    Detail("below", False, True),
    Detail("beside", False, False),
    Detail("below", False, False),
    Detail("", False, False),
)
"""From rich to poor; the first that fits is taken."""


class _Screen(NamedTuple):
    """Where tables go, and whether it shows letters beyond ASCII."""

    console: Console
    ascii_only: bool

    def say(self, words: str, style: str = "") -> None:
        from rich.text import Text

        self.console.print(Text(self.plain(words), style=style), highlight=False)

    def plain(self, words: str) -> str:
        """The words in the letters that the screen shows."""
        return words.translate(PLAIN).encode("ascii", "replace").decode() if self.ascii_only else words


SCREEN = 20
"""Lines that are shown where nothing asks for all; the command adds a few."""


def show(results: Results, console: Console | None = None, full: bool = False) -> None:
    """Print what a run shows: on one screen, or in full the tables of all cells and why some failed."""
    from rich.console import Console

    console = console or Console(highlight=False)
    screen = _Screen(console, console.options.ascii_only)
    settings = summary.headline(results.conclusions())
    if not full and any(setting.findings for setting in settings):
        _show_briefly(results, settings, screen)
    elif full:
        _show_all(results, screen)
    else:
        _show_beginning(results, screen)


def _show_briefly(results: Results, settings: list[Setting], screen: _Screen) -> None:
    """A line for each defence, and the conclusion."""
    from rich.text import Text

    failed, ladders = results.failed, results.ladders()
    name = cleaned(results.run.get("scenario", {}).get("name", ""))
    screen.say("")
    screen.say(": ".join(filter(None, [name, f"{len(results.cells)} cells"])), "bold")
    for intervals in (True, False):
        found = brief.table(settings, intervals, ladders)
        widths = [max(len(row[at]) for row in [found.headings, *found.rows]) for at in range(len(found.headings))]
        if sum(widths) + 2 * len(widths) <= screen.console.width:
            break
    table = _empty_table([(screen.plain(heading), at > 0) for at, heading in enumerate(found.headings)])
    for row in found.rows:
        table.add_row(*(_two_lines(screen.plain(words), Text) for words in row))
    screen.console.print(table, highlight=False)
    more = f"{found.left_out} more defences: --full. " if found.left_out else ""
    screen.say(f"{more}{found.legend}", "dim")
    flags = brief.flags(results)
    if flags:
        screen.say(numbers.cut(f"flags: {flags}", screen.console.width), "yellow")
    if failed:
        reasons = _by_reason(failed)
        rest = f" and {len(reasons) - 1} more reasons: --full" if len(reasons) > 1 else ""
        said = f"{len(failed)} of {len(results.cells) + len(failed)} cells failed: {reasons[0][0]}"
        screen.say(f"{numbers.cut(said, 2 * screen.console.width - len(rest))}{rest}", "red")
    for line in brief.conclusion(settings):
        screen.say(numbers.cut(line, screen.console.width), "bold")


def _show_beginning(results: Results, screen: _Screen) -> None:
    """As much of everything as a screen holds, where a run draws no conclusions."""
    from rich.console import Console

    stream = io.StringIO()
    _show_all(results, _Screen(Console(file=stream, width=screen.console.width, highlight=False), screen.ascii_only))
    lines = stream.getvalue().splitlines()
    for line in lines[:SCREEN]:
        screen.say(line.rstrip())
    if len(lines) > SCREEN:
        screen.say(f"{len(lines) - SCREEN} more lines: --full", "dim")


def _show_all(results: Results, screen: _Screen) -> None:
    """The tables of all cells, why cells failed, if some did, and the conclusion."""
    cells, failed = results.cells, results.failed
    if cells:
        _show_cells(results, cells, screen)
        _show_changes(results, cells, screen)
        signs = _signs(cells)
        for (words, why), sign in zip(flags_text.explain(list(signs)), signs.values(), strict=True):
            screen.say(f"flag {sign}: {words}. {why}".rstrip(". ") + ".", "yellow")
    if failed:
        _show_failed(failed, len(cells), screen)
    elif not cells:
        screen.say("no cells, so no numbers")
    for at, line in enumerate(summary.lines(results.conclusions())):
        screen.say(line if at else f"\n{line}", "bold")


def _show_cells(results: Results, cells: list[MeasuredCell], screen: _Screen) -> None:
    """The table of every group of cells, and what their numbers are."""
    constant = [f"{name} {value}" for name, value in constant_places(cells)]
    name = cleaned(results.run.get("scenario", {}).get("name", ""))
    screen.say("")
    screen.say(": ".join(filter(None, [name, f"{len(cells)} cells"])), "bold")
    if constant:
        screen.say(f"the same in all: {', '.join(constant)}", "dim")
    differing = [axis for axis in varying([cell.place for cell in cells]) if axis in GROUPS]
    briefly = {axis: short(list(dict.fromkeys(str(cell.place[axis]) for cell in cells))) for axis in differing}
    detail, parts = _detail(cells, screen.console.width), roles(results.run)
    blind = parts.random | parts.truth
    cells = [cell for cell in cells if cell.attacker not in blind or cell.ids[0] in _first_of(cells, differing)]
    for group in grouped(cells, lambda cell: coordinates(cell, differing)):
        screen.say("")
        if differing:
            screen.say(", ".join(f"{axis} {briefly[axis][str(group[0].place[axis])]}" for axis in differing), "bold")
        screen.console.print(_table(group, cells, detail, screen, blind), highlight=False)
    sizes = shown_sizes(cells)
    if sizes:
        level = float(results.run.get("scenario", {}).get("measure", {}).get("level", 0.95))
        named = any("protection_rate" in cell.metrics for cell in cells)
        first = "protection: first names that are wrong, in %; " if named else ""
        screen.say(
            f"{first}success@k in %, population sizes n = {numbers.and_list([str(n) for n in sizes])}; "
            f"{100 * level:g}% intervals where there is room; lift: success@{top_k(cells)[0]} over chance at "
            f"n = {sizes[-1]}",
            "dim",
        )


def _first_of(cells: list[MeasuredCell], differing: list[str]) -> set[str]:
    """Ids of the first cell of every attacker in every table: what sees no photo is the same for all defences."""
    axes = [*differing, "attacker", "seed"]
    return {same[0].ids[0] for same in grouped(cells, lambda cell: coordinates(cell, axes))}


def _show_changes(results: Results, cells: list[MeasuredCell], screen: _Screen) -> None:
    """What steps of attackers leave of defences, what defences and poisons changed and cost, what theorems claim."""
    ladders = results.ladders()
    if ladders:
        asked = ladders[0].question
        _show_lines(f"the ladder of attackers, success@{asked.k} of {asked.n} in %", ladder.lines(ladders), screen)
    changed = "what the {} changed, as published, and how long they took"
    _show_lines(changed.format("defences"), costs(cells, results.run), screen)
    _show_lines(changed.format("poisons"), costs(cells, results.run, "poison_"), screen)
    _show_lines(f"{theorem.TITLE}, %", theorem.claims(cells), screen)


def _show_failed(failed: list[Failed], others: int, screen: _Screen) -> None:
    """Why cells failed, and the first of each reason."""
    screen.say("")
    screen.say(f"{len(failed)} of {others + len(failed)} cells failed:", "bold red")
    for reason, same in _by_reason(failed):
        screen.say(f"  {reason}", "red")
        axes = varying([each.place for each in failed]) or ["attacker"]
        for each in same[:FEW]:
            where = (f"{axis} {place_text(axis, each.place[axis])}" for axis in axes if each.place[axis] is not None)
            screen.say(f"    {', '.join(where)}", "dim")
        if len(same) > FEW:
            screen.say(f"    and {len(same) - FEW} more, all in report.html", "dim")


def _show_lines(title: str, found: Lines | None, screen: _Screen) -> None:
    """A further table, if there is anything to show."""
    from rich.text import Text

    if found is None:
        return
    table = _empty_table([(screen.plain(heading), number) for heading, number in found.headings])
    for row in found.rows:
        table.add_row(*(Text(screen.plain(_breakable(words))) for words in row))
    screen.console.print()
    screen.console.print(Text(title, "bold"))
    screen.console.print(table, highlight=False)
    if found.left_out:
        screen.console.print(Text(f"{found.left_out} lines more in results.csv", "dim"))


def _empty_table(headings: list[tuple[str, bool]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading, number in headings:
        table.add_column(Text(heading), justify="right" if number else "left", overflow="fold")
    return table


def _signs(cells: list[MeasuredCell]) -> dict[str, str]:
    """A letter for every flag, explained below the tables; numbers once the letters are used up."""
    flags = sorted({flag for cell in cells for flag in cell.flags})
    return {flag: chr(ord("a") + place) if place < 26 else str(place) for place, flag in enumerate(flags)}


def _by_reason(failed: list[Any]) -> list[tuple[str, list[Any]]]:
    """Cells that failed for the same reason, together."""
    groups = grouped(failed, lambda each: (each.stage, each.reason))
    return [(f"{same[0].stage}: {same[0].reason}" if same[0].stage else same[0].reason, same) for same in groups]


def _detail(cells: list[MeasuredCell], width: int) -> Detail:
    """The richest form that fits the width; decided over all groups, so that their tables look alike."""
    from rich.cells import cell_len

    for detail in DETAILS:
        headings, rows = _texts(cells, cells, detail)
        columns = zip([heading for heading, _ in headings], *rows, strict=True)
        widths = [max(cell_len(part) for words in set(column) for part in words.split("\n")) for column in columns]
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            break
    return detail


def _table(
    group: list[MeasuredCell], cells: list[MeasuredCell], detail: Detail, screen: _Screen, bounds: frozenset[str]
) -> Table:
    """The table of one group."""
    from rich.text import Text

    headings, rows = _texts(group, cells, detail)
    table = _empty_table([(screen.plain(heading), number) for heading, number in headings])
    for cell, row in zip(group, rows, strict=True):
        style = "dim" if cell.attacker in bounds else ""
        table.add_row(*(_two_lines(screen.plain(words), Text) for words in row), style=style)
    return table


def _two_lines(words: str, text: Any) -> Any:
    """The interval below a number, or beside it, in a quieter style."""
    cut = words.find("\n") if "\n" in words else words.find(" [")
    return text(words) if cut < 0 else text.assemble(words[:cut], (words[cut:], "dim"))


class _Column(NamedTuple):
    """A column of the table: its heading, whether numbers stand in it, and the text of a cell."""

    heading: str
    number: bool
    text: Callable[[MeasuredCell], str]


def _texts(
    group: list[MeasuredCell], cells: list[MeasuredCell], detail: Detail
) -> tuple[list[tuple[str, bool]], list[list[str]]]:
    """Headings, with whether numbers stand below, and the texts of all rows."""
    columns = _columns(cells, detail)
    headings = [(column.heading, column.number) for column in columns]
    rows = [[column.text(cell) for column in columns] for cell in group]
    for place, (heading, number) in enumerate(headings):
        if number and any(" [" in row[place] for row in rows):
            _align(rows, place)
            headings[place] = (heading, False)
    return headings, rows


def _columns(cells: list[MeasuredCell], detail: Detail) -> list[_Column]:
    """The columns that all tables of these cells have: those of which some cell has a value."""
    axes = [name for name in varying([cell.place for cell in cells]) if name not in GROUPS] or ["attacker"]
    columns = [_Column(HEADINGS.get(name, name), name in ("epsilon", "seed"), partial(_axis, name)) for name in axes]
    if any("protection_rate" in cell.metrics for cell in cells):
        columns.append(
            _Column("protection", True, lambda cell: _share(cell.metrics.get("protection_rate"), detail.intervals))
        )
    columns += _success_columns(cells, detail)
    if any("auc_score" in cell.metrics for cell in cells):
        columns.append(_Column("AUC", True, _area))
    signs = _signs(cells)
    if signs:
        columns.append(_Column("flags", False, lambda cell: " ".join(signs[flag] for flag in cell.flags)))
    return columns


def _success_columns(cells: list[MeasuredCell], detail: Detail) -> list[_Column]:
    """success@k for the shown sizes and k, and how far the first is above chance."""
    sizes = shown_sizes(cells)
    ks = top_k(cells) if detail.others else top_k(cells)[:1]
    places = [(k, n) for n in sizes for k in ks if any(cell.at(k, n) for cell in cells)]
    if not places:
        return []
    first = ks[0]

    def success(k: int, n: int) -> _Column:
        intervals = detail.intervals if k == first or detail.all_intervals else ""
        return _Column(f"n={n} @{k}" if k == first else f"@{k}", True, lambda cell: _share(cell.at(k, n), intervals))

    def lift(cell: MeasuredCell) -> str:
        value = cell.at(first, sizes[-1])
        return numbers.times(value.value / chance(first, sizes[-1])) if value else numbers.NOTHING

    return [*(success(k, n) for k, n in places), _Column("lift", True, lift)]


def _axis(name: str, cell: MeasuredCell) -> str:
    """A coordinate of a cell."""
    value = cell.place[name]
    return "" if value is None else _breakable(place_text(name, value))


def _area(cell: MeasuredCell) -> str:
    """The area under the ROC curve."""
    area = cell.metrics.get("auc_score")
    return f"{area.value:.3f}" if area else numbers.NOTHING


def _breakable(label: str) -> str:
    """`joint-pgd (objective=rank)`: a long label is then broken before its parameters, not in a word."""
    return label.replace("(", " (")


def _align(rows: list[list[str]], column: int) -> None:
    """Pad numbers that have intervals beside them so that they stand below each other, aligned to the left.

    Aligned to the right, a number without an interval would stand below the intervals of others.
    """
    cuts = [row[column].partition(" [") for row in rows]
    longest = max(len(words) for words, _, _ in cuts)
    for row, (words, bracket, rest) in zip(rows, cuts, strict=True):
        row[column] = words.rjust(longest) + bracket + rest


def _share(value: Value | None, intervals: str) -> str:
    if value is None:
        return numbers.NOTHING
    words = numbers.percent(value.value, "")
    if not intervals or value.high - value.low < 1e-9:
        return words
    ends = numbers.percent_range(value.low, value.high, "")
    return f"{words} [{ends}]" if intervals == "beside" else f"{words}\n{ends}"
