"""Heat tables: defenders against attackers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from linkbench.report import names, numbers
from linkbench.report.figures.base import chosen_size, panel_titles
from linkbench.results.cells import MeasuredCell, Roles, Value, coordinates, grouped, top_k


class Square(NamedTuple):
    """One cell of the matrix; shade 0..10."""

    value: str
    interval: str
    shade: int


class Matrix(NamedTuple):
    """Defenders against attackers in one setting; channel: where the page's switch must stand to show it."""

    title: str
    attackers: list[str]
    rows: list[tuple[str, list[Square | None]]]
    channel: str


class Matrices(NamedTuple):
    """All settings, with what was measured; id: of the section."""

    heading: str
    text: str
    tables: list[Matrix]
    id: str = "matrix"


def matrices(cells: list[MeasuredCell], parts: Roles, level: str) -> Matrices | None:
    """The heat tables; nothing where only one defence was played."""
    n, ks = chosen_size(cells), top_k(cells)
    if n is None or len({(cell.poison, cell.defender, cell.epsilon) for cell in cells}) < 2:
        return None
    k = ks[0]
    axes = ("cohort", "genomes", "model", "channel")
    measured = [cell for cell in cells if cell.at(k, n)]
    if not measured:
        return None
    attacks = [cell for cell in measured if cell.attacker not in parts.truth] or measured  # the bound may be far above
    highest = max(cell.success[k][n].value for cell in attacks) or 1.0
    tables = by_attacker(measured, axes, lambda cell: square(cell.success[k][n], highest))
    text = (
        f"success@{k} in a population of {n}, with {level} intervals. Chance is {numbers.percent(min(1.0, k / n))}; "
        f"the stronger the colour, the better the attack."
    )
    return Matrices("Defenders against attackers", text, tables)


def by_attacker(
    cells: list[MeasuredCell], axes: tuple[str, ...], write: Callable[[MeasuredCell], Square]
) -> list[Matrix]:
    """A table for every place: a row for each protection, a column for each attacker."""
    titles = panel_titles(cells, axes)
    tables = []
    for group in grouped(cells, lambda cell: coordinates(cell, axes)):
        attackers = list(dict.fromkeys(cell.attacker for cell in group))
        rows = []
        for same in grouped(group, lambda cell: (cell.poison, cell.defender, cell.epsilon)):
            found = {cell.attacker: write(cell) for cell in same}
            rows.append((names.of_cell(same[0]), [found.get(name) for name in attackers]))
        tables.append(Matrix(titles[coordinates(group[0], axes)], attackers, rows, group[0].channel))
    return tables


def square(value: Value, highest: float) -> Square:
    """A value with its interval, shaded by its part of the highest."""
    shade = max(0, min(10, round(10 * value.value / highest)))
    return Square(numbers.percent(value.value), numbers.percent_range(value.low, value.high, ""), shade)
