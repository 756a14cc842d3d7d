"""Charts of single numbers: dots with intervals in rows, and points in a plane."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from linkbench.metrics.pareto import front
from linkbench.report import numbers, scale, svg
from linkbench.report.chart import HEIGHT, WIDTH, Axis, frame
from linkbench.report.svg import Ids, Markup, element
from linkbench.results.cells import Value

ROW = 34
LONGEST = 22


class Mark(NamedTuple):
    """One dot: whose it is, how it looks, and its number."""

    name: str
    css: str
    value: Value


def dots(
    ids: Ids,
    title: str,
    rows: list[tuple[str, list[Mark]]],
    x_label: str,
    *,
    top: float = 1.0,
    reference: dict[str, float] | None = None,
) -> Markup:
    """One row per name with dots and intervals on a common axis of shares; `reference` draws chance per row."""
    names = [numbers.brief(name, LONGEST) for name, _ in rows]
    left = 16 + max(svg.width(name) for name in names)
    height = 22 + ROW * len(rows) + 42
    x = Axis(scale.linear(0.0, top, left, WIDTH - 58), scale.ticks(0.0, top), x_label, "percent")
    y = Axis(scale.linear(0.0, 1.0, height - 42, 18), [], "", "plain")
    parts: list[Markup] = [svg.line(x.scale(tick), 18, x.scale(tick), height - 42, "grid") for tick in x.ticks]
    said = []
    for place, ((name, marks), shown) in enumerate(zip(rows, names, strict=True)):
        middle = 22 + ROW * (place + 0.5)
        parts.append(svg.text(left - 12, middle + 4, shown, "row-name", "end"))
        if reference and name in reference:
            at = x.scale(reference[name])
            parts.append(svg.line(at, middle - 12, at, middle + 12, "chance-mark"))
        gap = min(11.0, (ROW - 10) / max(len(marks), 1))
        for line, mark in enumerate(marks):
            high = middle + gap * (line - (len(marks) - 1) / 2)
            parts.append(_mark(mark, x, high))
            said.append(f"{name}, {mark.name}: {numbers.percent(mark.value.value)}")
        if len(marks) <= 2:
            for line, mark in enumerate(marks):
                high = middle + 4 + 12.5 * (line - (len(marks) - 1) / 2)
                parts.append(svg.text(WIDTH - 4, high, numbers.percent(mark.value.value), "tick", "end"))
    return frame(ids, title, "; ".join(said) + ".", x, y, *parts, height=height)


def _mark(mark: Mark, x: Axis, high: float) -> Markup:
    return element(
        "g",
        {"class": f"series {mark.css}", "data-name": mark.name},
        svg.line(x.scale(mark.value.low), high, x.scale(mark.value.high), high, "whisker"),
        element("circle", {"class": "mark", "cx": x.scale(mark.value.value), "cy": high, "r": 4.5}),
    )


class Spot(NamedTuple):
    """A point in a plane."""

    name: str
    note: str
    css: str
    x: float
    y: Value


def scatter(ids: Ids, title: str, spots: list[Spot], x_label: str, y_label: str, *, top: float) -> Markup:
    """Points of several kinds, those of a kind joined, with the Pareto front: high x and low y are good."""
    low = min(spot.x for spot in spots)
    floor = min(0.995, scale.ticks(low - (1.0 - low) * 0.08, 1.0)[0]) if low < 1.0 else 0.9
    right, bottom = WIDTH - 20, HEIGHT - 42
    x = Axis(scale.linear(min(floor, low), 1.0, 44, right), scale.ticks(min(floor, low), 1.0), x_label, "plain")
    y = Axis(scale.linear(0.0, top, bottom, 30), scale.ticks(0.0, top), y_label, "percent")
    best = pareto([(spot.x, spot.y.value) for spot in spots])
    parts, taken = [], []
    if len(best) > 1:
        corners = [(x.scale(best[0][0]), y.scale(best[0][1]))]
        for at, share in best[1:]:  # between two points only the worse of both values is attained
            corners += [(corners[-1][0], y.scale(share)), (x.scale(at), y.scale(share))]
        parts.append(element("path", {"class": "front", "d": svg.path(corners)}))
        taken += along(corners)
    taken += [(x.scale(spot.x) - 6, y.scale(spot.y.value) - 6, 12.0, 12.0) for spot in spots]
    for css in dict.fromkeys(spot.css for spot in spots):
        taken += along([(x.scale(spot.x), y.scale(spot.y.value)) for spot in spots if spot.css == css])
    for css, name in dict.fromkeys((spot.css, spot.name) for spot in spots):
        own = [spot for spot in spots if (spot.css, spot.name) == (css, name)]
        places = [(x.scale(spot.x), y.scale(spot.y.value)) for spot in own]
        inner = [element("path", {"class": "joint", "d": svg.path(places)})] if len(own) > 1 else []
        for spot, (at, high) in zip(own, places, strict=True):
            said = f"{spot.name} {spot.note}: {x_label} {spot.x:.3f}, {y_label} {numbers.percent(spot.y.value)}"
            circle = element("circle", {"class": "mark", "cx": at, "cy": high, "r": 4.5}, element("title", None, said))
            inner.append(circle)
        label = free_place(numbers.brief(name, LONGEST), places, taken, (44.0, 30.0, float(right), float(bottom)))
        if label:
            inner.append(label)
        parts.append(element("g", {"class": f"series {css}", "data-name": name}, *inner))
    said = "; ".join(f"{s.name} {s.note}: {s.x:.3f}, {numbers.percent(s.y.value)}" for s in spots)
    return frame(ids, title, f"{y_label} against {x_label}. {said}.", x, y, *parts)


def free_place(
    name: str,
    places: list[tuple[float, float]],
    taken: list[tuple[float, float, float, float]],
    inside: tuple[float, float, float, float],
) -> Markup | None:
    """A label beside one of the points where it hides nothing; none if there is no such place. Extends `taken`."""
    wide = 1.06 * svg.width(name)  # some labels are bold
    left, top, right, bottom = inside
    for at, high in places:
        for box_x, box_y in ((at + 10, high - 7), (at - 10 - wide, high - 7), (at - wide / 2, high - 23),
                             (at - wide / 2, high + 9), (at - wide, high - 23), (at - wide, high + 9)):  # fmt: skip
            box = (box_x, box_y, wide, 14.0)
            fits = box_x >= left and box_x + wide <= right and box_y >= top and box_y + 14 <= bottom
            if fits and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                return svg.text(box_x, box_y + 11, name, "label")
    return None


def along(places: list[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    """Small boxes that cover the line through the places."""
    out = []
    for (x1, y1), (x2, y2) in pairwise(places):
        count = max(1, round(max(abs(x2 - x1), abs(y2 - y1)) / 6))
        for part in range(count + 1):
            share = part / count
            out.append((x1 + share * (x2 - x1) - 2, y1 + share * (y2 - y1) - 2, 4.0, 4.0))
    return out


def _overlap(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> bool:
    return (
        one[0] < two[0] + two[2] and two[0] < one[0] + one[2] and one[1] < two[1] + two[3] and two[1] < one[1] + one[3]
    )


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other dominates: x high, y low. From high x to low x."""
    return sorted({points[place] for place in front(points)}, reverse=True)
