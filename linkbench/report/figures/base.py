"""What every figure is made of: sections with panels, the switches that they obey, and their looks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from linkbench.report import names, numbers
from linkbench.report.figures import theme
from linkbench.report.figures.vega import Record, View, largest, record
from linkbench.results.cells import (
    MeasuredCell,
    Roles,
    Value,
    chance,
    coordinates,
    grouped,
    main_attacker,
    nearest,
    short,
    sizes,
    top_k,
    varying,
)

PANELS = 12
"""Most panels of one figure; the table and results.csv have the rest."""

PANEL_AXES = ("cohort", "genomes", "model", "poison", "defender", "epsilon")
SETTING_AXES = ("cohort", "genomes", "model", "poison")
CHANCE = "chance"
GUESSING = "guessing"

CHOSEN_SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Population sizes that the switch offers, as far as they were measured; the largest is always there."""

SWITCHES = ("channel", "k", "n")
"""The switches of a page; a figure may have one more of its own, `by`."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"


class Panel(NamedTuple):
    """One drawing, what it is about, and its records."""

    title: str
    view: View
    rows: list[Record]


class Key(NamedTuple):
    """One entry of a legend."""

    css: str
    name: str


class Choice(NamedTuple):
    """A switch of one figure alone: what it asks, and what is written for each value of `by`."""

    question: str
    options: dict[str, str]


class Section(NamedTuple):
    """A figure with its words.

    id: also the name by which it is asked for; own: its switch `by`; folded: whether the page shows it on demand;
    shared: whether the value axis ends where the largest value of all panels needs it.
    """

    id: str
    heading: str
    text: str
    keys: list[Key]
    panels: list[Panel]
    own: Choice | None = None
    note: str = ""
    folded: bool = False
    shared: bool = True


class Defaults(NamedTuple):
    """Where the switches stand at first: the first channel that is posted in 8 bits, the smallest k, and n near 100;
    `by`, if not the first option."""

    channel: str = ""
    k: int = 1
    n: int = 0
    by: str | None = None

    def of(self, name: str, options: Sequence[Any]) -> Any:
        """The value among the options of a figure, nearest for numbers."""
        wanted = getattr(self, name, None)
        if wanted in options or not options:
            return wanted
        numeric = all(isinstance(option, int) for option in options) and isinstance(wanted, int)
        return min(options, key=lambda option: abs(option - wanted)) if numeric else options[0]


def defaults(cells: list[MeasuredCell]) -> Defaults:
    """Where the switches stand at first."""
    posted = [cell.channel for cell in cells if cell.facts.eight_bit] or [cell.channel for cell in cells]
    ks = top_k(cells)
    return Defaults(posted[0] if posted else "", ks[0] if ks else 1, chosen_size(cells) or 0)


def chosen_size(cells: list[MeasuredCell]) -> int | None:
    """The population size of figures at first: nearest to 100, or to 10 where populations are small."""
    measured = sizes(cells)
    return nearest(measured, 100 if measured and measured[-1] >= 50 else 10)


def switched_sizes(cells: list[MeasuredCell]) -> list[int]:
    """The population sizes that the switch offers."""
    measured = sizes(cells)
    wanted = {size for size in (nearest(measured, each) for each in CHOSEN_SIZES) if size is not None}
    return sorted({*wanted, measured[-1]}) if measured else []


def colours(labels: Iterable[str], fixed: Mapping[str, str] | None = None) -> dict[str, str]:
    """A look for every name: the fixed ones, then s1, s2 and so on without those taken."""
    fixed = fixed or {}
    found = list(labels)
    free = (f"s{place}" for place in range(1, len(found) + 9) if f"s{place}" not in fixed.values())
    return {name: fixed[name] if name in fixed else _wrapped(next(free)) for name in found}


def _wrapped(look: str) -> str:
    """Eight colours; the ninth line and later ones are broken as well."""
    place = int(look[1:]) - 1
    return look if place < 8 else f"s{place % 8 + 1} broken"


def attacker_colours(cells: list[MeasuredCell], parts: Roles) -> dict[str, str]:
    """Every attacker's look, the same in all figures: chance and truth are always told apart from attacks."""
    labels = list(dict.fromkeys(cell.attacker for cell in cells))
    fixed = {name: CHANCE for name in labels if name in parts.random}
    fixed |= {name: "truth" for name in labels if name in parts.truth}
    main = main_attacker(cells, parts)
    if main is not None and main not in fixed:
        fixed[main] = "s1"
    return colours(labels, fixed)


def defence_colours(cells: list[MeasuredCell]) -> dict[str, str]:
    """Every protection's look: none is ink."""
    plain = {names.of_cell(cell): "truth" for cell in cells if cell.facts.undefended and cell.facts.unpoisoned}
    return colours(dict.fromkeys(names.of_cell(cell) for cell in cells), plain)


def keys_of(looks: Mapping[str, str], shown: Iterable[str]) -> list[Key]:
    """The legend: what counts first, bounds last."""
    rank = {"s1": 0, "truth": 2, CHANCE: 3}
    present = [name for name in looks if name in set(shown)]
    return [Key(looks[name], name) for name in sorted(present, key=lambda name: rank.get(looks[name], 1))]


def strongest(cells: list[MeasuredCell], parts: Roles) -> list[MeasuredCell]:
    """Of all attacks on the same photos the one that links most: a defence counts for no more than against that."""
    k, n = top_k(cells)[:1], chosen_size(cells)
    attacks = [cell for cell in cells if parts.is_attack(cell.attacker)] or cells
    found = [cell for cell in attacks if k and cell.at(k[0], n)]
    same = grouped(found, lambda cell: coordinates(cell, (*PANEL_AXES, "channel")))
    return [max(group, key=lambda cell: cell.success[k[0]][n or 0].value) for group in same]


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


def reference(k: int, n: int) -> Value:
    """Chance as a value without uncertainty."""
    guess = chance(k, n)
    return Value(guess, guess, guess)


def guesses(cells: list[MeasuredCell], sizes: Sequence[int], ends: Sequence[float]) -> list[Record]:
    """Chance as a level line between the ends of the x axis, for every k of the cells and every population size."""
    return [record(GUESSING, at, reference(k, n), k=k, n=n) for k in top_k(cells) for n in sizes for at in ends]


def successes(cell: MeasuredCell, sizes: Sequence[int], name: str, x: float, **more: Any) -> list[Record]:
    """The success of a cell as points at x, one for every k and those of the population sizes that it has."""
    return [
        record(name, x, value, channel=cell.channel, k=k, n=n, **more)
        for k in cell.success
        for n in sizes
        if (value := cell.at(k, n))
    ]


def records(section: Section) -> list[Record]:
    """Those of all panels that are drawn as numbers."""
    return [row for panel in section.panels for row in panel.rows if "value" in row]


def options_of(section: Section) -> dict[str, list[Any]]:
    """The switches of a figure with their values in order; those of one value are none."""
    rows = records(section)
    found = {name: list(dict.fromkeys(row[name] for row in rows if name in row)) for name in (*SWITCHES, "by")}
    return {name: sorted(values) if name in ("k", "n") else values for name, values in found.items() if len(values) > 1}


def views(section: Section, first: Defaults) -> tuple[list[dict[str, Any]], list[View]]:
    """The parameters of a figure and the finished view of every panel, without data.

    A record is shown where its switches stand on its values and its name is not in the parameter `hidden`.
    """
    options = options_of(section)
    params: list[dict[str, Any]] = [{"name": "hidden", "value": []}, {"name": "at", "value": None}]
    for name, values in options.items():
        known = section.own.options if section.own and name == "by" else {}
        bound = {"input": "select", "options": values, "labels": [known.get(value, str(value)) for value in values],
                 "name": f"{section.own.question if section.own and name == 'by' else name} "}  # fmt: skip
        params.append({"name": name, "value": first.of(name, values), "bind": bound})
    filters = [{"filter": f"!isDefined(datum.{name}) || datum.{name} === {name}"} for name in options]
    filters += [{"filter": "indexof(hidden, datum.name) < 0"}]
    key = " + '|' + ".join(["''", *options])
    if section.shared:
        params.append({"name": "tops", "value": _tops(records(section), list(options))})
    out = []
    for panel in section.panels:
        view = {**panel.view, "transform": [*filters, *panel.view.get("transform", [])]}
        if section.shared:
            along = view["encoding"]["y"]
            scale = {**along["scale"], "domainMin": 0, "domainMax": {"expr": f"tops[{key}]"}}
            view["encoding"] = {**view["encoding"], "y": {**along, "scale": scale}}
        out.append(view)
    return params, out


def _tops(rows: list[Record], switches: list[str]) -> dict[str, float]:
    """The highest end of all panels for every position of the switches, rounded up."""
    places: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        places.setdefault(tuple(row.get(name) for name in switches), []).append(row)
    tops = {}
    for place in places:
        if None in place:  # records that stand at every value of a switch
            continue
        alike = (
            each for other, each in places.items() if all(b in (None, a) for a, b in zip(place, other, strict=True))
        )
        most = largest(row for each in alike for row in each)
        tops["|".join(["", *map(str, place)])] = (min(1.0, 1.05 * most) if most <= 1.0 else most) or 1.0
    return tops


def title(section: Section, panel: str = "") -> dict[str, Any]:
    """What stands above a drawing: its panel and where the switches stand."""
    options = options_of(section)
    parts = [json.dumps(panel)] if panel else []
    if "k" in options:
        parts.append("'success@' + k")
    parts += [f"{words} + {name}" for name, words in (("n", "'n = '"), ("channel", "'posted as '")) if name in options]
    if not parts:
        return {"text": ""}
    return {"text": {"expr": " + ' · ' + ".join(parts)}}


def whole(section: Section, first: Defaults, width: int = 460) -> dict[str, Any]:
    """A figure as one specification of Vega-Lite: everything is in it, and it stands in any page or notebook."""
    params, found = views(section, first)
    drawn = []
    for place, (panel, view) in enumerate(zip(section.panels, found, strict=True)):
        named = _numbered(view, place) if len(found) > 1 else view
        drawn.append(
            {
                **named,
                "data": {"values": panel.rows},
                "width": width,
                "title": title(section, panel.title or section.heading),
            }
        )
    top = {
        "$schema": SCHEMA,
        "description": f"{section.heading}. {section.text}",
        "config": theme.config(),
        "params": params,
    }
    if len(drawn) == 1:
        return {**top, **drawn[0]}
    return {**top, "concat": drawn, "columns": 2, "spacing": 28, "resolve": {"legend": {"color": "shared"}}}


def _numbered(part: Any, place: int) -> Any:
    """A view whose selections have names of their own, as those of several views side by side must."""
    own = ("hover", "zoom")
    if isinstance(part, dict):
        return {
            key: f"{value}{place}" if key in ("name", "param") and value in own else _numbered(value, place)
            for key, value in part.items()
        }
    return [_numbered(one, place) for one in part] if isinstance(part, list) else part


def described(section: Section, panel: Panel, first: Defaults) -> str:
    """What a drawing shows, in words: both ends of every line, where the switches stand at first."""
    options = options_of(section)
    at = {name: first.of(name, values) for name, values in options.items()}
    rows = [
        row for row in panel.rows if "value" in row and all(row.get(name, value) == value for name, value in at.items())
    ]
    said = []
    for same in grouped(rows, lambda row: (row["name"], row.get("row"))):
        ends = sorted(same, key=lambda row: row.get("x", 0.0))
        ends = ends if len(ends) == 1 else [ends[0], ends[-1]]
        what = ", ".join(filter(None, (same[0].get(part) for part in ("row", "name"))))
        values = [f"{_share(one)} at {one['x']:g}" if "x" in one else _share(one) for one in ends]
        said.append(f"{what}: {', '.join(values)}")
    return f"{section.heading}{': ' + panel.title if panel.title else ''}. {'; '.join(said)}."


def _share(row: Record) -> str:
    return f"{100 * row['value']:.3g}%"
