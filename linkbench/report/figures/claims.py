"""Attackers who claim a genome only when they are sure: what they miss, by the size of the pile."""

from __future__ import annotations

from linkbench.report import numbers
from linkbench.report.figures.base import PANEL_AXES, Choice, Panel, Section, keys_of, panels_of
from linkbench.report.figures.vega import Axis, Record, lines, record, wide
from linkbench.results.cells import MeasuredCell, Value, in_populations, top_k, undefended

PREFIX = "fnir:"


def missed(cell: MeasuredCell) -> dict[str, dict[tuple[int, int], Value]]:
    """By false positive rate, as it is written in the metric's name, FNIR by k and pile size."""
    out: dict[str, dict[tuple[int, int], Value]] = {}
    for rate, k, n, value in in_populations(cell, PREFIX):
        out.setdefault(rate, {})[k, n] = value
    return out


def by_pile(cells: list[MeasuredCell], looks: dict[str, str]) -> Section | None:
    """FNIR against pile size on photos without a defence, one line per attacker, a choice for each FPIR."""
    known = [cell for cell in undefended(cells) if any(len(line) > 1 for line in missed(cell).values())]
    if not known or not top_k(known):
        return None
    panels, note = panels_of(known, PANEL_AXES)
    drawn = []
    for title, group in panels:
        rows: list[Record] = [
            record(cell.attacker, n, value, channel=cell.channel, k=k, by=rate)
            for cell in group
            for rate, line in missed(cell).items()
            for (k, n), value in sorted(line.items())
        ]
        axis = Axis("pile size", "count", None, wide(row["x"] for row in rows))
        drawn.append(Panel(title, lines(looks, axis, Axis("missed (FNIR)", ends=(0.0, 1.0))), rows))
    rates = dict.fromkeys(row["by"] for panel in drawn for row in panel.rows)
    return Section(
        "claims",
        "Only when sure",
        "An attacker need not name a genome for every photo: he claims one only if its score reaches a threshold that "
        "keeps false claims rare where the right genome is not in the pile (false positive identification rate, FPIR). "
        "Shown is how often he then misses a genome that is there (FNIR at rank k; ISO/IEC 19795-1). Bands: {level} "
        "intervals at that threshold.",
        keys_of(looks, {row["name"] for panel in drawn for row in panel.rows}),
        drawn,
        Choice("false positive identification rate", {rate: numbers.percent(float(rate)) for rate in rates}),
        note,
        folded=True,
        shared=False,
    )
