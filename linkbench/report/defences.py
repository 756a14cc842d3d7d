"""Figures about defenders and robust models: budget, trade-off against quality, and the matrix against attackers."""

from __future__ import annotations

from typing import NamedTuple

from linkbench.api.rounding import HALF_STEP
from linkbench.report import chart, dot_plot, numbers, scale, svg
from linkbench.report.chart import Axis, Series
from linkbench.report.figures import CHANCE, Choice, Key, Panel, Section, colours, panel_titles, panels_of, reference
from linkbench.report.svg import Ids, Markup
from linkbench.results.cells import (
    MeasuredCell,
    Roles,
    Value,
    coordinates,
    grouped,
    main_attacker,
    nearest,
    sizes,
    top_k,
)

AXES = ("cohort", "genomes", "model", "poison", "channel")


def chosen_size(cells: list[MeasuredCell]) -> int | None:
    """The population size of these figures: nearest to 100, or to 10 where populations are small."""
    measured = sizes(cells)
    return nearest(measured, 100 if measured and measured[-1] >= 50 else 10)


def _colours(cells: list[MeasuredCell]) -> dict[str, str]:
    plain = {cell.defender: "truth" for cell in cells if cell.facts.undefended}
    return colours(list(dict.fromkeys(cell.defender for cell in cells)), plain)


def _followed(cells: list[MeasuredCell], parts: Roles) -> tuple[list[MeasuredCell], str]:
    main = main_attacker(cells, parts)
    return [cell for cell in cells if cell.attacker == main], str(main)


def by_epsilon(ids: Ids, cells: list[MeasuredCell], parts: Roles) -> Section | None:
    """success@k against the budget, one line per defender, in a panel per model and channel."""
    own, attacker = _followed(cells, parts)
    budgets = sorted({cell.epsilon for cell in own if cell.epsilon is not None})
    n = chosen_size(own)
    if len(budgets) < 2 or n is None:
        return None
    looks = _colours(own)
    panels, note = panels_of(own, AXES)
    choices = []
    for k in top_k(own):
        highest = max((value.high for cell in own if (value := cell.at(k, n))), default=1.0)
        top = min(1.0, scale.nice_top(highest, 6))
        drawn = [
            Panel(title, drawing)
            for title, group in panels
            if (drawing := _epsilon_panel(ids, group, k, n, looks, budgets, title, top))
        ]
        if drawn:
            choices.append(Choice(str(k), drawn))
    if not choices:
        return None
    free = dict.fromkeys(cell.defender for cell in own if cell.epsilon is None and not cell.facts.undefended)
    absent = f" Without a budget of this kind, so only in the table: {numbers.and_list(list(free))}." if free else ""
    named = dict.fromkeys(cell.defender for cell in own if cell.epsilon is not None or cell.facts.undefended)
    return Section(
        "epsilon",
        "What a budget buys",
        f"Success of the attacker {attacker} in a population of {n}, against the largest change that a defender may "
        f"make to a pixel (1 is the range from black to white). Below chance is signal to an attacker who "
        f"adapts, not safety.{absent}",
        [*(Key(looks[name], name) for name in named), Key(CHANCE, "chance")],
        "Candidates that count, k",
        choices,
        note,
    )


def _epsilon_panel(
    ids: Ids,
    cells: list[MeasuredCell],
    k: int,
    n: int,
    looks: dict[str, str],
    budgets: list[float],
    title: str,
    top: float,
) -> Markup | None:
    low, high = budgets[0], budgets[-1]
    guess = reference(k, n)
    series = [Series("chance", CHANCE, [(low, guess), (high, guess)])]
    for group in grouped(cells, lambda cell: cell.defender):
        measured = [(cell, value) for cell in group if (value := cell.at(k, n))]
        points = sorted((cell.epsilon, value) for cell, value in measured if cell.epsilon is not None)
        if group[0].facts.undefended and measured:
            points = [(low, measured[0][1]), (high, measured[0][1])]
        if points:
            series.append(Series(group[0].defender, looks[group[0].defender], points))
    if len(series) < 2:
        return None
    behind = _eight_bits if cells[0].facts.eight_bit else None
    name = f"success@{k} in a population of {n} against the budget" + (f", {title}" if title else "")
    return chart.lines(
        ids, name, series, chart.epsilon_axis(budgets), f"success@{k}, n = {n}", top=top, marks=True, behind=behind
    )


def _eight_bits(x: Axis, y: Axis) -> Markup:
    """Where a budget becomes too small to survive rounding to 8 bits."""
    if not x.scale.low < HALF_STEP < x.scale.high:
        return Markup()
    at = x.scale(HALF_STEP)
    mark = svg.line(at, y.scale.start, at, y.scale.end, "limit")
    return svg.element("g", None, mark, svg.text(at + 4, y.scale.start - 6, "half an 8-bit step", "tick halo"))


def robust(ids: Ids, cells: list[MeasuredCell], parts: Roles) -> list[Section]:
    """Several models: how well each links clean photos, and what each loses under attack."""
    own, attacker = _followed(cells, parts)
    models = list(dict.fromkeys(cell.model for cell in own))
    n = chosen_size(own)
    if len(models) < 2 or n is None:
        return []
    k = top_k(own)[0]
    own = [cell for cell in own if cell.at(k, n)]
    looks = colours(models)
    found = [_clean_models(ids, own, k, n, looks, attacker), _bent_models(ids, own, k, n, looks)]
    return [section for section in found if section]


def _clean_models(
    ids: Ids, cells: list[MeasuredCell], k: int, n: int, looks: dict[str, str], attacker: str
) -> Section | None:
    """What every model links of unchanged photos."""
    clean = [cell for cell in cells if cell.facts.undefended]
    if not clean:
        return None
    panels, note = panels_of(clean, ("cohort", "genomes", "poison", "channel"))
    top = min(1.0, scale.nice_top(max(cell.success[k][n].high for cell in clean), 6))

    def panel(title: str, group: list[MeasuredCell]) -> Panel:
        rows = [(cell.model, [dot_plot.Mark(attacker, looks[cell.model], cell.success[k][n])]) for cell in group]
        guess = {cell.model: k / n for cell in group}
        name = f"success@{k} of every model on photos without a defence" + (f", {title}" if title else "")
        return Panel(title, dot_plot.dots(ids, name, rows, f"success@{k}, n = {n}", top=top, reference=guess))

    drawn = [panel(title, group) for title, group in panels]
    text = f"Success of the attacker {attacker} in a population of {n}, by the model behind it, on unchanged photos."
    return Section("models", "What robustness costs the attacker", text, [], "", [Choice("", drawn)], note)


def _bent_models(ids: Ids, cells: list[MeasuredCell], k: int, n: int, looks: dict[str, str]) -> Section | None:
    """What every model links of defended photos, where a defence has several budgets."""
    axes = ("cohort", "genomes", "poison", "defender", "channel")
    bent = [
        cell
        for group in grouped([cell for cell in cells if cell.epsilon is not None], lambda c: coordinates(c, axes))
        if len({cell.epsilon for cell in group}) > 1
        for cell in group
    ]
    if not bent:
        return None
    panels, note = panels_of(bent, axes)
    top = min(1.0, scale.nice_top(max(cell.success[k][n].high for cell in bent), 6))

    def panel(title: str, group: list[MeasuredCell]) -> Panel:
        budgets = sorted({cell.epsilon or 0.0 for cell in group})
        series = [Series("chance", CHANCE, [(budgets[0], reference(k, n)), (budgets[-1], reference(k, n))])]
        for same in grouped(group, lambda cell: cell.model):
            points = sorted((cell.epsilon or 0.0, cell.success[k][n]) for cell in same)
            series.append(Series(same[0].model, looks[same[0].model], points))
        name = f"success@{k} of every model against the budget" + (f", {title}" if title else "")
        axis, label = chart.epsilon_axis(budgets), f"success@{k}, n = {n}"
        return Panel(title, chart.lines(ids, name, series, axis, label, top=top, marks=True))

    drawn = [panel(title, group) for title, group in panels]
    text = "The same attacker on defended photos. A model that holds its line is robust against that defender."
    keys = [*(Key(look, name) for name, look in looks.items()), Key(CHANCE, "chance")]
    return Section("robustness", "What robustness wins the attacker", text, keys, "", [Choice("", drawn)], note)


def quality(ids: Ids, cells: list[MeasuredCell], parts: Roles) -> Section | None:
    """Privacy against similarity to the original photo, with the Pareto front."""
    own, attacker = _followed(cells, parts)
    n = chosen_size(own)
    if n is None:
        return None
    k = top_k(own)[0]
    own = [cell for cell in own if "ssim" in cell.metrics and cell.at(k, n)]
    if len({(cell.defender, cell.epsilon) for cell in own}) < 2:
        return None
    looks = _colours(own)
    panels, note = panels_of(own, AXES)
    top = min(1.0, scale.nice_top(max(cell.success[k][n].value for cell in own), 6))
    drawn = []
    for title, group in panels:
        spots = [
            dot_plot.Spot(
                cell.defender,
                f"ε {numbers.epsilon(cell.epsilon)}" if cell.epsilon is not None else "",
                looks[cell.defender],
                cell.metrics["ssim"].value,
                cell.success[k][n],
            )
            for cell in sorted(group, key=lambda cell: cell.epsilon or 0.0)
        ]
        name = "privacy against similarity" + (f", {title}" if title else "")
        drawn.append(Panel(title, dot_plot.scatter(ids, name, spots, "similarity to the original (SSIM)",
                                                f"success@{k}, n = {n}", top=top)))  # fmt: skip
    return Section(
        "quality",
        "What privacy costs the photo",
        f"Success of the attacker {attacker} in a population of {n} against the likeness of the published photo. The "
        "lower right is best; the broad grey line joins the defences that no other beats in both.",
        [Key(css, name, dot=True) for name, css in looks.items()],
        "",
        [Choice("", drawn)],
        note,
    )


class Square(NamedTuple):
    """One cell of the matrix; shade 0..10."""

    value: str
    interval: str
    shade: int


class Matrix(NamedTuple):
    """Defenders against attackers in one setting."""

    title: str
    attackers: list[str]
    rows: list[tuple[str, list[Square | None]]]


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
    titles = panel_titles(measured, axes)
    tables = []
    for group in grouped(measured, lambda cell: coordinates(cell, axes)):
        attackers = list(dict.fromkeys(cell.attacker for cell in group))
        rows = []
        for same in grouped(group, lambda cell: (cell.poison, cell.defender, cell.epsilon)):
            found = {cell.attacker: cell.success[k][n] for cell in same}
            squares = [square(found[name], highest) if name in found else None for name in attackers]
            rows.append((_defence(same[0]), squares))
        tables.append(Matrix(titles[coordinates(group[0], axes)], attackers, rows))
    text = (
        f"success@{k} in a population of {n}, with {level} intervals. Chance is {numbers.percent(min(1.0, k / n))}; "
        f"the stronger the colour, the better the attack."
    )
    return Matrices("Defenders against attackers", text, tables)


def square(value: Value, highest: float) -> Square:
    """A value with its interval, shaded by its part of the highest."""
    shade = max(0, min(10, round(10 * value.value / highest)))
    return Square(numbers.percent(value.value), numbers.percent_range(value.low, value.high, ""), shade)


def _defence(cell: MeasuredCell) -> str:
    words = cell.defender if cell.epsilon is None else f"{cell.defender}, ε {numbers.epsilon(cell.epsilon)}"
    return words if cell.facts.unpoisoned else f"{words}; poison {cell.poison}"
