"""The results table of the page: one row per cell, the chosen sizes only."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.report import flags_text, numbers
from linkbench.report.cells import PLACES, MeasuredCell, Value, chance, short, shown_sizes, top_k, varying

MOST = 500
"""Most rows of the table; results.csv has all."""

WRONG = {"protection_rate": "of users", "unprotected_error": "of others"}
SINGLES = {"auc_score": "by score", "auc_k": "by rank", "median_rank": "median"}
MEASURED = {"linf": "L∞", "linf_max": "L∞, largest", "l2": "L2", "psnr": "PSNR, dB", "ssim": "SSIM"}
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


def constant_places(places: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Coordinates that are the same in every cell, with their value."""
    differing = varying(places)
    first = places[0] if places else {}
    return [
        (name, place_text(name, value))
        for name, value in first.items()
        if name not in differing and value is not None and (name, value) != ("genomes", "none")
    ]


def place_text(name: str, value: Any) -> str:
    """A coordinate as text."""
    return numbers.epsilon(value) if name == "epsilon" else str(value)


def table(cells: list[MeasuredCell]) -> CellTable:
    """One row per cell, in the order of the plan."""
    places = [cell.place for cell in cells]
    briefly = {name: short([str(value) for value in dict.fromkeys(place[name] for place in places)]) for name in PLACES}
    axes = varying(places) or (["attacker"] if cells else [])
    ks, sizes = top_k(cells), shown_sizes(cells)
    curves = [(k, n) for n in sizes for k in ks if any(cell.at(k, n) for cell in cells)]
    lifted = next(((k, n) for k, n in curves if n == sizes[-1]), None)
    change = {f"success_change@{lifted[0]},{lifted[1]}": f"@{lifted[0]}, n = {lifted[1]}"} if lifted else {}
    known = {**WRONG, **SINGLES, **MEASURED, **change}
    singles = {name: words for name, words in known.items() if any(name in cell.metrics for cell in cells)}
    flagged = any(cell.flags for cell in cells)
    columns = [Column("", HEADINGS.get(name, name), name in ("epsilon", "seed")) for name in axes]
    columns += [Column(f"success in a population of {n}", f"@{k}", True) for k, n in curves]
    columns += [Column(f"success in a population of {lifted[1]}", f"@{lifted[0]} / chance", True)] if lifted else []
    columns += [Column(_heading(name), words, True) for name, words in singles.items()]
    columns += [Column("", "flags", False)] if flagged else []
    groups: list[tuple[str, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.heading:
            groups[-1] = (column.heading, groups[-1][1] + 1)
        else:
            groups.append((column.heading, 1))
    rows = []
    for cell in cells[:MOST]:
        row = [_place(name, cell.place[name], briefly[name]) for name in axes]
        row += [_share(cell.at(k, n)) for k, n in curves]
        row += [_lift(cell, *lifted)] if lifted else []
        row += [_single(name, cell.metrics.get(name)) for name in singles]
        row += [CellText(", ".join(map(flags_text.words, cell.flags)))] if flagged else []
        rows.append(row)
    return CellTable(columns, groups, rows, constant_places(places), max(0, len(cells) - MOST))


def _heading(metric: str) -> str:
    if metric.startswith("success_change"):
        return "change by the defence"
    if metric in WRONG:
        return "first name wrong"
    return "photo" if metric in MEASURED else "rank" if metric == "median_rank" else "area under ROC"


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


def _single(name: str, value: Value | None) -> CellText:
    if value is None or name in WRONG:
        return _share(value)
    if name.startswith("success_change"):
        points = [f"{100.0 * part:+.1f}" for part in value]
        return CellText(points[0], f"{points[1]} to {points[2]}" if value.low < value.high else "", value.value)
    area = name.startswith("auc") or name == "ssim"
    rank = name == "median_rank"
    texts = [f"{part:.3f}" if area else f"{part:.1f}" if rank else numbers.plain(part) for part in value]
    return CellText(texts[0], f"{texts[1]}{numbers.DASH}{texts[2]}" if value.low < value.high else "", value.value)
