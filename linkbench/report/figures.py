"""Which figures a run has, from its cells: linkage curves, ROC, prediction accuracy."""

from __future__ import annotations

import math
from typing import NamedTuple

from linkbench.report import chart, dot_plot, numbers, scale
from linkbench.report.chart import Series
from linkbench.report.ranks import RankFile
from linkbench.report.svg import Ids, Markup
from linkbench.results.cells import (
    MeasuredCell,
    Roles,
    Value,
    chance,
    coordinates,
    grouped,
    main_attacker,
    short,
    sizes,
    top_k,
    undefended,
    varying,
)

PANELS = 12
"""Most panels of one figure; the table and results.csv have the rest."""

POINTS = 120
"""Most points of one curve."""

PANEL_AXES = ("cohort", "genomes", "model", "poison", "defender", "epsilon", "channel")
CHANCE = "chance"


class Panel(NamedTuple):
    """One drawing and what it is about."""

    title: str
    drawing: Markup


class Choice(NamedTuple):
    """Panels of which the reader sees one set at a time."""

    label: str
    panels: list[Panel]


class Key(NamedTuple):
    """One entry of a legend."""

    css: str
    name: str
    dot: bool = False


class Section(NamedTuple):
    """A figure with its words; `question` names what the choices choose."""

    id: str
    heading: str
    text: str
    keys: list[Key]
    question: str
    choices: list[Choice]
    note: str = ""


def colours(names: list[str], fixed: dict[str, str] | None = None) -> dict[str, str]:
    """A CSS class for every name: the fixed ones, then s1, s2 and so on without those taken."""
    fixed = fixed or {}
    free = (f"s{place}" for place in range(1, len(names) + 9) if f"s{place}" not in fixed.values())
    return {name: fixed[name] if name in fixed else _wrapped(next(free)) for name in names}


def _wrapped(css: str) -> str:
    """Eight colours; the ninth line and later ones are broken as well."""
    place = int(css[1:]) - 1
    return css if place < 8 else f"s{place % 8 + 1} broken"


def attacker_colours(cells: list[MeasuredCell], parts: Roles) -> dict[str, str]:
    """Every attacker's look, the same in all figures: chance and truth are always told apart from attacks."""
    names = list(dict.fromkeys(cell.attacker for cell in cells))
    fixed = {name: CHANCE for name in names if name in parts.random}
    fixed |= {name: "truth" for name in names if name in parts.truth}
    main = main_attacker(cells, parts)
    if main is not None and main not in fixed:
        fixed[main] = "s1"
    return colours(names, fixed)


def panel_titles(cells: list[MeasuredCell], axes: tuple[str, ...] = PANEL_AXES) -> dict[tuple[object, ...], str]:
    """A title for every panel, of the coordinates that tell it from the others."""
    differing = [name for name in varying([cell.place for cell in cells]) if name in axes]
    briefly = {name: short(list(dict.fromkeys(str(cell.place[name]) for cell in cells))) for name in differing}
    out = {}
    for cell in cells:
        words = []
        for name in differing:
            value = cell.place[name]
            if name == "epsilon":
                words += [f"ε {numbers.epsilon(value)}"] if value is not None else []
            elif name in ("model", "channel", "poison"):
                words.append(f"{name} {briefly[name][str(value)]}")
            else:
                words.append(briefly[name][str(value)])
        out[coordinates(cell, axes)] = " · ".join(words)
    return out


def panels_of(cells: list[MeasuredCell], axes: tuple[str, ...]) -> tuple[list[tuple[str, list[MeasuredCell]]], str]:
    """The cells of every panel with its title, and a note where there are too many."""
    titles = panel_titles(cells, axes)
    groups = grouped(cells, lambda cell: coordinates(cell, axes))
    note = "" if len(groups) <= PANELS else f"The first {PANELS} of {len(groups)} panels; results.csv has all numbers."
    return [(titles[coordinates(group[0], axes)], group) for group in groups[:PANELS]], note


def _ordered(cells: list[MeasuredCell], looks: dict[str, str]) -> list[MeasuredCell]:
    """Chance and truth first, the main attacker last and so on top."""
    rank = {CHANCE: 0, "truth": 1, "s1": 3}
    return sorted(cells, key=lambda cell: rank.get(looks[cell.attacker], 2))


def curves(ids: Ids, cells: list[MeasuredCell], looks: dict[str, str]) -> Section | None:
    """success@k against population size, one panel per setting."""
    plain = [cell for cell in undefended(cells) if cell.success]
    if not plain or len(sizes(plain)) < 2:
        return None
    panels, note = panels_of(plain, PANEL_AXES)
    shown = [cell for _, group in panels for cell in group]
    choices = []
    for k in top_k(shown):
        highest = max(value.high for cell in shown for value in cell.success.get(k, {}).values())
        choices.append(
            Choice(
                f"{k}",
                [
                    Panel(title, _curve_panel(ids, group, k, looks, title, min(1.0, scale.nice_top(highest, 6))))
                    for title, group in panels
                    if any(k in cell.success for cell in group)
                ],
            )
        )
    defended = " Photos without a defence." if len(plain) < len(cells) else ""
    return Section(
        "curves",
        "Success against population size",
        "How often the true genome is among the k best candidates, when the attacker must choose from a population "
        f"of n genomes.{defended} Bands: {{level}} intervals.",
        legend(shown, looks),
        "Candidates that count, k",
        choices,
        note,
    )


def legend(cells: list[MeasuredCell], looks: dict[str, str]) -> list[Key]:
    """The attackers of a figure, attacks first and bounds last."""
    rank = {"s1": 0, "truth": 2, CHANCE: 3}
    names = sorted(dict.fromkeys(cell.attacker for cell in cells), key=lambda name: rank.get(looks[name], 1))
    return [Key(looks[name], name) for name in names]


def _curve_panel(ids: Ids, cells: list[MeasuredCell], k: int, looks: dict[str, str], title: str, top: float) -> Markup:
    series = []
    for cell in _ordered([cell for cell in cells if k in cell.success], looks):
        measured = sorted(cell.success[k].items())
        kept = scale.thin(len(measured), POINTS, [math.log(n) for n, _ in measured])
        series.append(
            Series(cell.attacker, looks[cell.attacker], [(float(measured[i][0]), measured[i][1]) for i in kept])
        )
    axis = chart.size_axis(sorted({n for cell in cells for n in cell.success.get(k, {})}))
    name = f"success@{k} against population size" + (f", {title}" if title else "")
    few = max(len(each.points) for each in series) <= 12
    return chart.lines(ids, name, series, axis, f"success@{k}", top=top, marks=few)


def roc(ids: Ids, cells: list[MeasuredCell], looks: dict[str, str], files: dict[str, RankFile]) -> Section | None:
    """ROC curves by score and by k, where the rank files are there."""
    known = [cell for cell in undefended(cells) if cell.ids[0] in files]
    panels, note = panels_of(known, PANEL_AXES)
    choices = []
    for kind, label in (("score", "score"), ("k", "rank")):
        drawn = []
        for title, group in panels:
            series = []
            for cell in _ordered(group, looks):
                points = files[cell.ids[0]].roc.get(kind)
                if points:
                    area = cell.metrics.get(f"auc_{kind}")
                    line = [(x, Value(y, y, y)) for x, y in points]
                    series.append((Series(cell.attacker, looks[cell.attacker], line), area.value if area else None))
            if series:
                name = f"ROC curves by {label}" + (f", {title}" if title else "")
                drawn.append(Panel(title, chart.roc(ids, name, series)))
        if drawn:
            choices.append(Choice(f"a threshold on the {'score' if kind == 'score' else 'rank: the k best'}", drawn))
    if not choices:
        return None
    seeds = " Curves of the first seed; areas are means over seeds." if any(len(cell.ids) > 1 for cell in known) else ""
    return Section(
        "roc",
        "Claims right and wrong",
        "An attacker who may claim more than one genome per photo trades true claims against false ones. Claims are "
        f"made by one threshold on the score for all photos, or as the k best genomes of each photo.{seeds}",
        legend([cell for _, group in panels for cell in group], looks),
        "Claims by",
        choices,
        note,
    )


def accuracy(ids: Ids, cells: list[MeasuredCell], variants: dict[str, int]) -> Section | None:
    """Accuracy and balanced accuracy of the predictor, phenotype by phenotype, on photos without a defence."""
    known = [cell for cell in undefended(cells) if any(name.startswith("accuracy:") for name in cell.metrics)]
    if not known:
        return None
    # attackers share the predictor's output, and genomes often do: equal numbers are shown once
    seen = grouped(known, lambda cell: tuple(sorted((n, v) for n, v in cell.metrics.items() if "accuracy:" in n)))
    first = [group[0] for group in seen]
    panels, note = panels_of(first, PANEL_AXES)
    drawn = []
    for title, (cell, *_) in panels:
        rows = []
        for name in cell.metrics:
            if name.startswith("accuracy:"):
                phenotype = name.partition(":")[2]
                both = [dot_plot.Mark("accuracy", "s1", cell.metrics[name])]
                if f"balanced_{name}" in cell.metrics:
                    both.append(dot_plot.Mark("balanced accuracy", "s2 hollow", cell.metrics[f"balanced_{name}"]))
                rows.append((phenotype, both))
        guess = {name: 1.0 / count for name, count in variants.items()}
        heading = "accuracy of the predicted phenotypes" + (f", {title}" if title else "")
        drawn.append(
            Panel(title, dot_plot.dots(ids, heading, rows, "share of photos predicted right", reference=guess))
        )
    keys = [
        Key("s1", "accuracy", dot=True),
        Key("s2 hollow", "balanced accuracy (every variant weighs the same)", dot=True),
    ]
    if variants:
        keys.append(Key(CHANCE, "chance: 1 / number of variants"))
    return Section(
        "prediction",
        "What can be read from a face",
        "How often the most likely predicted variant of a phenotype is the true one, over the photos whose label is "
        "known. Linkage rests on nothing else.",
        keys,
        "",
        [Choice("", drawn)],
        note,
    )


def reference(k: int, n: int) -> Value:
    """Chance as a value without uncertainty."""
    guess = chance(k, n)
    return Value(guess, guess, guess)
