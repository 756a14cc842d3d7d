"""Line charts: axes, bands, lines and direct labels that do not overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from linkbench.report import numbers, scale, svg
from linkbench.report.scale import Scale
from linkbench.report.svg import Ids, Markup, element
from linkbench.results.cells import Value

WIDTH, HEIGHT = 480, 316
LEFT, TOP, BOTTOM = 44, 30, 42
GAP = 14.0
"""Distance between the base lines of labels, in pixels."""

LONGEST = 18
"""Letters of a direct label; the legend has the whole name."""


class Axis(NamedTuple):
    """One axis: its scale, its ticks, what it says and how its numbers are written (a format known to page.js)."""

    scale: Scale
    ticks: list[float]
    label: str
    form: str

    def write(self, value: float) -> str:
        """A tick as text."""
        if self.form == "percent":
            return f"{scale.tick_text(round(100.0 * value, 9))}%"
        return scale.tick_text(value)


class Series(NamedTuple):
    """One line: points in order of x, each with its interval."""

    name: str
    css: str
    points: list[tuple[float, Value]]


def frame(ids: Ids, title: str, description: str, x: Axis, y: Axis, *inside: Markup, height: int = HEIGHT) -> Markup:
    """The svg element around a plot: names for screen readers, grid, axes, and scales for read-outs."""
    named = ids.next("figure")
    left, right, bottom, top = x.scale.start, x.scale.end, y.scale.start, y.scale.end
    grid: list[str] = []
    for tick in y.ticks:
        at = y.scale(tick)
        grid += [
            svg.line(left, at, right, at, "grid"),
            svg.text(left - 7, at + 4, y.write(tick), "tick", "end"),
        ]
    for tick in x.ticks:
        at = x.scale(tick)
        grid += [
            svg.line(at, bottom, at, bottom + 4, "axis"),
            svg.text(at, bottom + 17, x.write(tick), "tick", "middle"),
        ]
    return element(
        "svg",
        {
            "class": "chart",
            "viewBox": f"0 0 {WIDTH} {height}",
            "role": "img",
            "aria-labelledby": f"{named}-title {named}-description",
            "data-x": _scale_text(x),
            "data-y": _scale_text(y),
        },
        element("title", {"id": f"{named}-title"}, title),
        element("desc", {"id": f"{named}-description"}, description),
        element("g", {"aria-hidden": "true"}, *grid, svg.line(left, bottom, right, bottom, "axis")),
        svg.text(0, top - 14, y.label, "axis-title"),
        svg.text((left + right) / 2, height - 5, x.label, "axis-title", "middle"),
        *inside,
    )


def _scale_text(axis: Axis) -> str:
    low, high, start, end, log = axis.scale
    return f"{low:.9g} {high:.9g} {svg.number(start)} {svg.number(end)} {'log' if log else 'linear'} {axis.form}"


def lines(
    ids: Ids,
    title: str,
    series: list[Series],
    x_of: Callable[[float, float], Axis],
    y_label: str,
    *,
    top: float,
    marks: bool = False,
    behind: Callable[[Axis, Axis], Markup] | None = None,
    form: str = "percent",
) -> Markup:
    """A line chart of shares (by `form`, of other numbers) from 0 to `top`, with bands, direct labels at the right and
    optional marks at the points.

    x_of gives the x axis for its first and last pixel.
    """
    names = [numbers.brief(each.name, LONGEST) for each in series]
    right = WIDTH - 14 - 1.06 * max((svg.width(name) for name in names), default=0.0)
    x = x_of(LEFT, right)
    y = Axis(scale.linear(0.0, top, HEIGHT - BOTTOM, TOP), scale.ticks(0.0, top, 6), y_label, form)
    wanted = [y.scale(each.points[-1][1].value) for each in series]
    placed = spread(wanted, GAP, TOP, HEIGHT - BOTTOM)
    drawn = [
        _one(each, name, x, y, label_y, right, marks) for each, name, label_y in zip(series, names, placed, strict=True)
    ]
    under = [behind(x, y)] if behind else []
    return frame(ids, title, describe(series, x, y), x, y, *under, *drawn)


def _one(series: Series, name: str, x: Axis, y: Axis, label_y: float, right: float, marks: bool) -> Markup:
    points = [(x.scale(at), value) for at, value in series.points]
    middle = [(at, y.scale(value.value)) for at, value in points]
    upper = [(at, y.scale(value.high)) for at, value in points]
    lower = [(at, y.scale(value.low)) for at, value in points]
    end_x, end_y = middle[-1]
    parts = []
    if len(points) > 1:
        parts.append(element("path", {"class": "band", "d": svg.path([*upper, *reversed(lower)], close=True)}))
    else:
        parts.append(svg.line(end_x, lower[0][1], end_x, upper[0][1], "whisker"))
    parts.append(element("path", {"class": "line", "d": svg.path(middle)}))
    reference = len(points) == 2 and points[0][1] == points[1][1]
    if (marks and not reference) or len(points) == 1:
        parts += [element("circle", {"class": "mark", "cx": at, "cy": high, "r": 3.2}) for at, high in middle]
    if abs(label_y - end_y) > 2.0 or end_x < right - 1:
        leader = [(end_x + 2, end_y), (right, end_y), (right + 7, label_y)]
        parts.append(element("path", {"class": "leader", "d": svg.path(leader)}))
    parts.append(svg.text(right + 9, label_y + 4, name, "label"))
    return element("g", {"class": f"series {series.css}", "data-name": series.name}, *parts)


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near to the wanted ones as a minimum gap allows, order kept, inside [low, high] where they fit.

    Neighbours that clash form a block around the mean of what they wanted (pool adjacent violators).
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, int]] = []  # the first label's position, and how many labels
    for index in order:
        first, count = wanted[index], 1
        while blocks and first < blocks[-1][0] + gap * blocks[-1][1]:
            above, more = blocks.pop()
            first = (above * more + (first - gap * more) * count) / (more + count)
            count += more
        first = max(low, min(first, high - gap * (count - 1)))
        blocks.append((first, count))
    # a block that was moved inside may touch the one before it again
    for place in range(len(blocks) - 1, 0, -1):
        above, more = blocks[place - 1]
        blocks[place - 1] = (min(above, blocks[place][0] - gap * more), more)
    out = [0.0] * len(wanted)
    positions = [first + gap * place for first, count in blocks for place in range(count)]
    for index, position in zip(order, positions, strict=True):
        out[index] = position
    return out


def describe(series: list[Series], x: Axis, y: Axis) -> str:
    """What a chart shows, in words: both ends of every line."""
    said = []
    for each in series:
        (first, begin), (last, end) = each.points[0], each.points[-1]
        said.append(
            f"{each.name}: {_written(begin.value, y)} at {_written(first, x)}"
            + (f", {_written(end.value, y)} at {_written(last, x)}" if len(each.points) > 1 else "")
        )
    return f"{y.label} against {x.label}. " + "; ".join(said) + "."


def _written(value: float, axis: Axis) -> str:
    return numbers.percent(value) if axis.form == "percent" else axis.write(float(f"{value:.4g}"))


def size_axis(measured: list[int]) -> Callable[[float, float], Axis]:
    """The axis of population sizes."""
    return count_axis(measured, "population size")


def count_axis(measured: list[int], label: str) -> Callable[[float, float], Axis]:
    """An axis of whole numbers, the last of which has a tick."""

    def axis(start: float, end: float) -> Axis:
        found = scale.suited([float(n) for n in measured], start, end)
        marks = scale.log_ticks(found.low, found.high) if found.log else scale.ticks(found.low, found.high)
        whole = {tick for tick in marks if tick == int(tick)} | {float(measured[-1])}
        return Axis(found, _apart(sorted(whole), found), label, "count")

    return axis


def epsilon_axis(budgets: list[float]) -> Callable[[float, float], Axis]:
    """The axis of budgets; the ticks are the budgets themselves where they have room."""

    def axis(start: float, end: float) -> Axis:
        found = scale.suited(budgets, start, end)
        return Axis(found, _apart(sorted(set(budgets)), found), "budget ε (largest change of a pixel)", "plain")

    return axis


def _apart(ticks: list[float], along: Scale) -> list[float]:
    """Ticks whose texts do not touch; the last one is kept, it tells where the axis ends."""
    kept: list[float] = []
    for tick in reversed(ticks):
        room = (svg.width(scale.tick_text(tick)) + svg.width(scale.tick_text(kept[-1]))) / 2 + 6 if kept else 0
        if not kept or along(kept[-1]) - along(tick) >= room:
            kept.append(tick)
    return kept[::-1]


def roc(ids: Ids, title: str, series: list[tuple[Series, float | None]], found: str = "true genomes claimed") -> Markup:
    """A ROC curve per line: the share of what is true and found against false claims; areas in the free corner."""
    right = WIDTH - 36 - max((svg.width(_area_text(each, area)) for each, area in series), default=0.0)
    x = Axis(scale.linear(0.0, 1.0, LEFT, right), [0.0, 0.25, 0.5, 0.75, 1.0], "false claims", "percent")
    y = Axis(scale.linear(0.0, 1.0, HEIGHT - BOTTOM, TOP), [0.0, 0.25, 0.5, 0.75, 1.0], found, "percent")
    parts: list[Markup] = [svg.line(x.scale(0), y.scale(0), x.scale(1), y.scale(1), "grid")]
    ordered = sorted(series, key=lambda pair: -(pair[1] if pair[1] is not None else -1.0))
    bottom = HEIGHT - BOTTOM - 8 - GAP * (len(series) - 1)
    for row, (each, area) in enumerate(ordered):
        shape = svg.path([(x.scale(at), y.scale(value.value)) for at, value in each.points])
        label = svg.text(right + 14, bottom + GAP * row, _area_text(each, area), "label")
        parts.append(
            element(
                "g",
                {"class": f"series {each.css}", "data-name": each.name},
                element("path", {"class": "line", "d": shape}),
                label,
            )
        )
    heading = svg.text(right + 14, bottom - GAP - 2, "area", "tick")
    said = "; ".join(f"{each.name}: area {area:.3f}" for each, area in ordered if area is not None)
    return frame(ids, title, f"ROC curves. {said}.", x, y, *parts, heading)


def _area_text(series: Series, area: float | None) -> str:
    name = numbers.brief(series.name, LONGEST)
    return name if area is None else f"{area:.3f} {name}"
