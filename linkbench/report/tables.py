"""The results table of the page: one row per cell, the chosen sizes only."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from linkbench.report import flags_text, numbers
from linkbench.results.cells import MeasuredCell, Value, chance, cleaned, short, shown_sizes, top_k, varying

MOST = 500
"""Most rows of the table; results.csv has all."""

HEADINGS = {"epsilon": "ε"}


class CellText(NamedTuple):
    """One table cell: its text, a smaller second line, and what it is sorted by (None: last)."""

    text: str
    small: str = ""
    order: float | None = None


class Column(NamedTuple):
    """One column under a heading that several may share."""

    heading: str
    under: str
    number: bool


class CellTable(NamedTuple):
    """The whole table; `groups` are the top headings with the number of columns below each."""

    columns: list[Column]
    groups: list[tuple[str, int]]
    rows: list[list[CellText]]
    constant: list[tuple[str, str]]
    left_out: int


FILTERED = ("cohort", "model", "poison", "defender", "channel", "attacker")
"""Coordinates by which the cells of the page can be filtered."""


def filters(table: CellTable) -> dict[str, list[str]]:
    """What the page filters its cells by: the coordinates with several values, as they stand in the table."""
    return {
        column.under: list(dict.fromkeys(row[at].text for row in table.rows))
        for at, column in enumerate(table.columns)
        if column.under in FILTERED and not column.heading and len(table.rows) > 1
    }


def constant_places(cells: list[MeasuredCell]) -> list[tuple[str, str]]:
    """Coordinates that are the same in every cell, with their value; genomes only where there are some."""
    if not cells:
        return []
    differing, first = varying([cell.place for cell in cells]), cells[0]
    return [
        (name, place_text(name, value))
        for name, value in first.place.items()
        if name not in differing and value is not None and (name != "genomes" or first.facts.plugins["genomes"])
    ]


def place_text(name: str, value: Any) -> str:
    """A coordinate as text."""
    return numbers.epsilon(value) if name == "epsilon" else str(value)


class _Source(NamedTuple):
    """A column and where its cells come from."""

    column: Column
    text: Callable[[MeasuredCell], CellText]


def table(cells: list[MeasuredCell]) -> CellTable:
    """One row per cell, in the order of the plan."""
    sources = [*_axis_sources(cells), *_seen_sources(cells), *_success_sources(cells), *_metric_sources(cells)]
    if any(cell.flags for cell in cells):
        sources.append(
            _Source(Column("", "flags", False), lambda cell: CellText(", ".join(map(flags_text.words, cell.flags))))
        )
    groups = [
        (heading, len(list(same))) for heading, same in itertools.groupby(source.column.heading for source in sources)
    ]
    rows = [[source.text(cell) for source in sources] for cell in cells[:MOST]]
    columns = [source.column for source in sources]
    return CellTable(columns, groups, rows, constant_places(cells), max(0, len(cells) - MOST))


def _axis_sources(cells: list[MeasuredCell]) -> list[_Source]:
    """The coordinates that differ."""
    places = [cell.place for cell in cells]

    def source(name: str) -> _Source:
        briefly = short([str(value) for value in dict.fromkeys(place[name] for place in places)])
        column = Column("", HEADINGS.get(name, name), name in ("epsilon", "seed"))
        return _Source(column, lambda cell: _place(name, cell.place[name], briefly))

    return [source(name) for name in varying(places) or (["attacker"] if cells else [])]


def _seen_sources(cells: list[MeasuredCell]) -> list[_Source]:
    """The models that defences saw, where there are several models: whether they knew their opponent."""
    if len({cell.model for cell in cells} | {name for cell in cells for name in cell.facts.seen}) < 2:
        return []
    column = Column("", "defence saw", False)
    return [_Source(column, lambda cell: CellText(", ".join(map(cleaned, cell.facts.seen))))]


def _curves(cells: list[MeasuredCell]) -> list[tuple[int, int]]:
    """k and population size of the success that is shown."""
    return [(k, n) for n in shown_sizes(cells) for k in top_k(cells) if any(cell.at(k, n) for cell in cells)]


def _lifted(cells: list[MeasuredCell]) -> tuple[int, int] | None:
    """k and population size at which success is compared with chance and with no defence."""
    return next(((k, n) for k, n in _curves(cells) if n == shown_sizes(cells)[-1]), None)


def _success_sources(cells: list[MeasuredCell]) -> list[_Source]:
    """Success at the shown sizes, and as a multiple of chance."""

    def share(k: int, n: int) -> _Source:
        return _Source(Column(f"success in a population of {n}", f"@{k}", True), lambda cell: _share(cell.at(k, n)))

    sources = [share(k, n) for k, n in _curves(cells)]
    if lifted := _lifted(cells):
        k, n = lifted
        column = Column(f"success in a population of {n}", f"@{k} / chance", True)
        sources.append(_Source(column, lambda cell: _lift(cell, k, n)))
    return sources


def _metric_sources(cells: list[MeasuredCell]) -> list[_Source]:
    """Everything else that some cell has."""
    known = dict(METRICS)
    if lifted := _lifted(cells):
        k, n = lifted
        for name in dict.fromkeys(name for cell in cells for name in cell.metrics):
            if not name.endswith(f"@{k},{n}"):
                continue
            kind, _, about = name.removesuffix(f"@{k},{n}").partition(":")
            if kind == "fnir":
                known[name] = Metric(f"missed when sure, n = {n}", f"FPIR {numbers.percent(float(about))}", _share)
            elif kind == "certified_success":
                known[name] = Metric(f"certified, n = {n}", f"@{k}, L2 {about or 'as changed'}", _share)
            elif kind == "success":
                known[name] = Metric(f"among alike, n = {n}", f"@{k}, same {about}", _share)
        known[f"success_change@{k},{n}"] = Metric("change by the defence", f"@{k}, n = {n}", POINTS)

    def source(name: str, metric: Metric) -> _Source:
        return _Source(Column(metric.heading, metric.under, True), lambda cell: metric.text(cell.metrics.get(name)))

    return [source(name, metric) for name, metric in known.items() if any(name in cell.metrics for cell in cells)]


def _place(name: str, value: Any, briefly: dict[str, str]) -> CellText:
    number = name in ("epsilon", "seed") and value is not None
    return CellText(
        "" if value is None else place_text(name, value) if number else briefly[str(value)],
        order=float(value) if number else None,
    )


def _share(value: Value | None) -> CellText:
    if value is None:
        return CellText(numbers.NOTHING)
    interval = numbers.percent_range(value.low, value.high, "") if value.high - value.low > 1e-9 else ""
    return CellText(numbers.percent(value.value), interval, value.value)


def _lift(cell: MeasuredCell, k: int, n: int) -> CellText:
    value = cell.at(k, n)
    if value is None:
        return CellText(numbers.NOTHING)
    return CellText(numbers.times(value.value / chance(k, n)), "", value.value / chance(k, n))


def _written(write: Callable[[float], str], between: str = numbers.DASH) -> Callable[[Value | None], CellText]:
    """How a number and, smaller, its interval are written."""

    def text(value: Value | None) -> CellText:
        if value is None:
            return CellText(numbers.NOTHING)
        texts = [write(part) for part in value]
        return CellText(texts[0], f"{texts[1]}{between}{texts[2]}" if value.low < value.high else "", value.value)

    return text


class Metric(NamedTuple):
    """A metric with a column of its own: the heading, the line below it, and how a cell writes it."""

    heading: str
    under: str
    text: Callable[[Value | None], CellText]


POINTS = _written(lambda part: f"{100.0 * part:+.1f}", " to ")
"""A difference, in percentage points."""

METRICS = {
    "protection_rate": Metric("first name wrong", "of users", _share),
    "unprotected_error": Metric("first name wrong", "of others", _share),
    "gallery_match": Metric("gallery photos", "match each other", _share),
    "auc_score": Metric("area under ROC", "by score", _written("{:.3f}".format)),
    "auc_k": Metric("area under ROC", "by rank", _written("{:.3f}".format)),
    "detection_auc": Metric("protected?", "area under ROC", _written("{:.3f}".format)),
    "tool_named": Metric("tool named", "of protected", _share),
    "median_rank": Metric("rank", "median", _written("{:.1f}".format)),
    "linf": Metric("photo", "L∞", _written(numbers.plain)),
    "linf_max": Metric("photo", "L∞, largest", _written(numbers.plain)),
    "l2": Metric("photo", "L2", _written(numbers.plain)),
    "psnr": Metric("photo", "PSNR, dB", _written(numbers.plain)),
    "ssim": Metric("photo", "SSIM", _written("{:.3f}".format)),
    "delta_e": Metric("photo", "ΔE", _written(numbers.plain)),
    "delta_e_max": Metric("photo", "ΔE, largest", _written(numbers.plain)),
}
"""Columns by the name of the metric in results.csv, in their order; success has columns of its own."""
