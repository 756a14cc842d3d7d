"""Success against population size: of photos that were defended, and of attackers on photos as they are."""

from __future__ import annotations

import math
from collections.abc import Callable

from linkbench.report import names
from linkbench.report.figures.base import (
    CHANCE,
    GUESSING,
    PANEL_AXES,
    SETTING_AXES,
    Panel,
    Section,
    attacker_colours,
    defence_colours,
    keys_of,
    panels_of,
    reference,
    strongest,
    switched_sizes,
)
from linkbench.report.figures.vega import Axis, Record, lines, record, wide
from linkbench.report.thinning import thin
from linkbench.results.cells import MeasuredCell, Roles, sizes, top_k, undefended

POINTS = 60
"""Most points of one curve."""

LINES = 10
"""Most defences of one drawing; of more, each keeps its largest budget."""


def defended(cells: list[MeasuredCell], parts: Roles) -> Section | None:
    """A line for each defence: what the strongest attacker it met reaches."""
    met = strongest(cells, parts)
    own = _fewer(met)
    if len(sizes(own)) < 2 or len({names.of_cell(cell) for cell in own}) < 2:
        return None
    looks = defence_colours(own)
    return _section(
        "curves",
        "What is left, by population size",
        "How often the true genome is among the k best candidates, when the attacker must choose from a population of "
        "n genomes. For each defence the strongest attacker that it met"
        f"{'' if len(own) == len(met) else ', and its largest budget alone'}. Bands: {{level}} intervals.",
        own,
        looks,
        SETTING_AXES,
        False,
        names.of_cell,
    )


def _fewer(cells: list[MeasuredCell]) -> list[MeasuredCell]:
    """Defences that one drawing can hold: all of them, or each with its largest budget."""
    if len({names.of_cell(cell) for cell in cells}) <= LINES:
        return cells
    most: dict[tuple[str, str], float] = {}
    for cell in cells:
        key = cell.poison, cell.defender
        most[key] = max(most.get(key, 0.0), cell.epsilon or 0.0)
    return [cell for cell in cells if (cell.epsilon or 0.0) == most[cell.poison, cell.defender]]


def attackers(cells: list[MeasuredCell], parts: Roles) -> Section | None:
    """A line for each attacker on photos without a defence."""
    plain = [cell for cell in undefended(cells) if cell.success]
    if len(sizes(plain)) < 2:
        return None
    many = len(plain) < len(cells)
    note = " Photos without a defence." if many else ""
    return _section(
        "attackers",
        "Attackers, by population size",
        "How often each attacker has the true genome among the k best of a population of n genomes."
        f"{note} Bands: {{level}} intervals.",
        plain,
        attacker_colours(cells, parts),
        PANEL_AXES,
        many,
        lambda cell: cell.attacker,
    )


def _section(
    id_: str,
    heading: str,
    text: str,
    cells: list[MeasuredCell],
    looks: dict[str, str],
    axes: tuple[str, ...],
    folded: bool,
    name: Callable[[MeasuredCell], str],
) -> Section:
    """The figure; where no line is a guess, one is added."""
    panels, note = panels_of(cells, axes)
    guess = CHANCE not in looks.values()
    looks = {**looks, GUESSING: CHANCE} if guess else looks
    measured = sizes(cells)
    log = wide(measured)
    kept = {measured[at] for at in thin(len(measured), POINTS, [math.log(n) for n in measured])}
    x = Axis("population size n", "count", switched_sizes(cells), log)
    drawn = []
    for title, group in panels:
        rows: list[Record] = []
        if guess:
            rows += [record(GUESSING, n, reference(k, n), k=k) for k in top_k(group) for n in sizes(group) if n in kept]
        for cell in group:
            rows += [
                record(name(cell), n, value, channel=cell.channel, k=k, attacker=cell.attacker)
                for k, own in cell.success.items()
                for n, value in sorted(own.items())
                if n in kept
            ]
        drawn.append(Panel(title, lines(looks, x, Axis("success@k"), whole=len(kept) > 12, extra=("attacker",)), rows))
    shown = {row["name"] for panel in drawn for row in panel.rows}
    return Section(id_, heading, text, keys_of(looks, shown), drawn, note=note, folded=folded)
