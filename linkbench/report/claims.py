"""Attackers who claim a genome only when they are sure: what they miss, by the size of the pile."""

from __future__ import annotations

from linkbench.report import chart, numbers
from linkbench.report.chart import Series
from linkbench.report.figures import PANEL_AXES, Choice, Panel, Section, legend, panels_of
from linkbench.report.svg import Ids, Markup
from linkbench.results.cells import MeasuredCell, Value, top_k, undefended

PREFIX = "fnir:"


def missed(cell: MeasuredCell, k: int) -> dict[str, dict[int, Value]]:
    """By false positive rate, as it is written in the metric's name, FNIR by pile size."""
    out: dict[str, dict[int, Value]] = {}
    for name, value in cell.metrics.items():
        metric, _, place = name.partition("@")
        if metric.startswith(PREFIX) and place.startswith(f"{k},"):
            out.setdefault(metric.removeprefix(PREFIX), {})[int(place.partition(",")[2])] = value
    return out


def by_pile(ids: Ids, cells: list[MeasuredCell], looks: dict[str, str]) -> Section | None:
    """FNIR against pile size on photos without a defence, one line per attacker, a choice for each FPIR."""
    plain = undefended(cells)
    ks = top_k(plain)
    if not ks:
        return None
    known = [cell for cell in plain if any(len(line) > 1 for line in missed(cell, ks[0]).values())]
    rates = list(dict.fromkeys(rate for cell in known for rate in missed(cell, ks[0])))
    if not rates:
        return None
    panels, note = panels_of(known, PANEL_AXES)
    choices = [
        Choice(
            numbers.percent(float(rate)),
            [Panel(title, _panel(ids, group, ks[0], rate, looks, title)) for title, group in panels],
        )
        for rate in rates
    ]
    return Section(
        "claims",
        "Only when sure",
        "An attacker need not name a genome for every photo: he claims one only if its score reaches a threshold that "
        "keeps false claims rare where the right genome is not in the pile (false positive identification rate, FPIR). "
        f"Shown is how often he then misses a genome that is there (FNIR at rank {ks[0]}; ISO/IEC 19795-1). Bands: "
        "{level} intervals at that threshold.",
        legend([cell for _, group in panels for cell in group], looks),
        "False positive identification rate",
        choices,
        note,
    )


def _panel(ids: Ids, cells: list[MeasuredCell], k: int, rate: str, looks: dict[str, str], title: str) -> Markup:
    lines = {cell.attacker: sorted(missed(cell, k).get(rate, {}).items()) for cell in cells}
    series = [
        Series(name, looks[name], [(float(n), value) for n, value in line]) for name, line in lines.items() if line
    ]
    axis = chart.size_axis(sorted({n for line in lines.values() for n, _ in line}))
    name = f"FNIR at FPIR {numbers.percent(float(rate))} against pile size" + (f", {title}" if title else "")
    return chart.lines(ids, name, series, axis, f"FNIR, rank {k}", top=1.0, marks=True)
