"""How figures are drawn: views of Vega-Lite over records, each a plain dictionary.

A record has a `name` (whose number it is), `x` and `value`, `low` and `high` where there is an interval, and whatever
the tooltip shows. The switches of a figure are more fields of its records (see `linkbench.report.figures.base`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from linkbench.report.figures import theme
from linkbench.results.cells import Value

Record = dict[str, Any]
View = dict[str, Any]

HEIGHT = 250
"""Of a drawing's inside, in pixels."""

STEP = 26
"""Height of a row, in pixels."""

DIGITS = 6
"""Significant digits of numbers in records: far below what an interval leaves, and half the size."""

FORMS = {"percent": ".3~p", "count": ",d", "plain": ",.4~r"}
"""How the numbers of an axis are written, as d3 formats."""


class Axis(NamedTuple):
    """One axis: what it says, how its numbers are written (one of FORMS), its ticks where they are not free, whether it
    is logarithmic, and its ends where they do not follow the data."""

    title: str
    form: str = "percent"
    ticks: Sequence[float] | None = None
    log: bool = False
    ends: tuple[float, float] | None = None


def record(name: str, x: float, value: Value, **more: Any) -> Record:
    """A point of a line."""
    out: Record = {"name": name, "x": short(x), "value": short(value.value)}
    if value.low != value.high:
        out |= {"low": short(value.low), "high": short(value.high)}
    return out | more


def short(value: float) -> float:
    """The number with the digits that are kept."""
    return float(f"{value:.{DIGITS}g}")


def wide(values: Iterable[float]) -> bool:
    """Whether an axis should be logarithmic: the values are positive and span a factor of twenty or more."""
    found = list(values)
    return min(found) > 0 and max(found) / min(found) >= 20


def lines(
    looks: Mapping[str, str], x: Axis, y: Axis, *, whole: bool = False, bands: bool = True, extra: Sequence[str] = ()
) -> View:
    """Lines with bands and, under the pointer, the nearest point.

    looks: of every name; whole: points are many, so that no marks stand on the line; bands: whether records have
    intervals; extra: more fields for tooltips.
    """
    marks: View = {
        "mark": {"type": "point", "filled": True, "opacity": 1, "clip": True},
        "transform": [{"filter": "isValid(datum.value)"}],
        "params": [_hover(), _zoom()],
        "encoding": {"size": _size(0 if whole else 34), "tooltip": _tooltip(x, y, extra)},
    }
    band = {
        "mark": {"type": "area", "opacity": 0.13 if len(looks) < 6 else 0.06, "clip": True, "tooltip": False},
        "transform": [{"filter": "isValid(datum.low)"}],
        "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2, "strokeJoin": "round", "clip": True, "tooltip": False},
        "transform": [{"filter": "isValid(datum.value)"}],
        "encoding": {"strokeDash": {"field": "name", "type": "nominal", "legend": None, "scale": _dashes(looks)}},
    }
    return {
        "height": HEIGHT,
        "transform": [_interval(y.form)],
        "encoding": {"x": _along("x", x), "y": _along("value", y), "color": _colours(looks)},
        "layer": [*([band] if bands else []), line, marks],
    }


def limited(view: View) -> View:
    """A view with a dotted line where records have a `limit` on the x axis, and its `words`."""
    rule: View = {
        "transform": [{"filter": "isValid(datum.limit)"}],
        "mark": {"type": "rule", "strokeDash": [1, 3], "color": theme.COLOURS["quiet"][0], "tooltip": False},
        "encoding": {"x": {"field": "limit", "type": "quantitative"}, "y": {"value": 0}, "y2": {"value": HEIGHT},
                     "color": None},
    }  # fmt: skip
    text = {
        **rule,
        "mark": {"type": "text", "align": "left", "dx": 4, "dy": -6, "fontSize": 11, "baseline": "bottom",
                 "color": theme.COLOURS["quiet"][0], "tooltip": False},
        "encoding": {"x": rule["encoding"]["x"], "y": {"value": HEIGHT}, "text": {"field": "words"}, "color": None},
    }  # fmt: skip
    return {**view, "layer": [rule, text, *view["layer"]]}


def roc(looks: Mapping[str, str], found: str) -> View:
    """ROC curves: the share of what is true and found against false claims; the diagonal is guessing."""
    ends = (0.0, 1.0)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    x, y = (Axis(title, ticks=ticks, ends=ends) for title in ("false claims", found))
    view = lines(looks, x, y, whole=True, bands=False, extra=("area",))
    diagonal = {
        "data": {"values": [{"x": 0, "value": 0}, {"x": 1, "value": 1}]},
        "mark": {"type": "line", "strokeWidth": 1, "color": theme.COLOURS["rule"][0], "tooltip": False},
        "encoding": {"color": None},
    }
    return {**view, "layer": [diagonal, *view["layer"]]}


def rows(
    order: Sequence[str], looks: Mapping[str, str], x: Axis, *, chance: bool = False, extra: Sequence[str] = ()
) -> View:
    """A row for each `row` of the records, with dots and intervals; several names of a row stand below each other.

    order: of the rows; chance: whether records have `guess`, drawn as a tick.
    """
    high = STEP if len(looks) < 2 else 1.4 * STEP
    place: View = {"y": {"field": "row", "type": "nominal", "sort": list(order), "title": None, "axis": _row_axis()}}
    if len(looks) > 1:
        place["yOffset"] = {"field": "name", "type": "nominal", "sort": list(looks), "scale": {"paddingOuter": 0.6}}
    guess = {
        "mark": {"type": "tick", "thickness": 2, "size": 0.7 * high, "color": theme.COLOURS["guess"][0]},
        "encoding": {"x": _along("guess", x), "y": place["y"],
                     "tooltip": [_text("row", " "), _shown("guess", x._replace(title="chance"))]},
    }  # fmt: skip
    span = {
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55, "tooltip": False},
        "transform": [{"filter": "isValid(datum.low)"}],
        "encoding": {**place, "x": _along("low", x), "x2": {"field": "high"}, "color": _colours(looks)},
    }
    dots = {
        "mark": {"type": "point", "filled": True, "opacity": 1},
        "params": [_hover()],
        "encoding": {
            **place, "x": _along("value", x), "color": _colours(looks), "size": _size(60),
            "tooltip": [_text("row", " "), *_tooltip(None, x, extra)],
        },
    }  # fmt: skip
    return {
        "height": high * len(order),
        "transform": [_interval(x.form)],
        "layer": [*([guess] if chance else []), span, dots],
    }


def forest(order: Sequence[str], x: Axis, extra: Sequence[str]) -> View:
    """Differences with intervals, a row each, around zero; hollow where a test cannot tell it from zero."""
    ink, paper, less, more, open_ = (theme.COLOURS[name][0] for name in ("ink", "paper", "s1", "s2", "guess"))
    told = [{"test": f"datum.verdict === '{word}'", "value": shade} for word, shade in (("less", less), ("more", more))]
    place: View = {"y": {"field": "row", "type": "nominal", "sort": list(order), "title": None, "axis": _row_axis()}}
    stroke, fill = ({"condition": told, "value": shade} for shade in (open_, paper))
    zero = {
        "data": {"values": [{"zero": 0}]},
        "mark": {"type": "rule", "color": ink, "tooltip": False},
        "encoding": {"x": {"field": "zero", "type": "quantitative"}},
    }
    span = {
        "mark": {"type": "rule", "strokeWidth": 2, "tooltip": False},
        "encoding": {**place, "x": _along("low", x), "x2": {"field": "high"}, "color": stroke},
    }
    dots = {
        "mark": {"type": "point", "filled": True, "opacity": 1, "strokeWidth": 2},
        "params": [_hover()],
        "encoding": {**place, "x": _along("value", x), "stroke": stroke, "fill": fill, "size": _size(64),
                     "tooltip": [_text("row", " "), *_tooltip(None, x, extra)]},
    }  # fmt: skip
    return {"height": STEP * len(order), "transform": [_interval(x.form)], "layer": [zero, span, dots]}


def scatter(looks: Mapping[str, str], x: Axis, y: Axis, extra: Sequence[str]) -> View:
    """Points with intervals, those of a name joined in the order of `turn`, over the front of records with `front`."""
    inside = _along("x", x)
    inside["scale"] = {**inside["scale"], "nice": False, "padding": 10}
    path = {
        "mark": {"type": "line", "interpolate": "step-before", "strokeWidth": 7, "strokeCap": "round",
                 "strokeJoin": "round", "color": theme.COLOURS["rule"][0], "clip": True, "tooltip": False},
        "transform": [{"filter": "datum.front"}],
        "encoding": {"color": None, "order": {"field": "x", "type": "quantitative"}},
    }  # fmt: skip
    joint = {
        "mark": {"type": "line", "strokeWidth": 1.2, "opacity": 0.6, "clip": True, "tooltip": False},
        "encoding": {"order": {"field": "turn", "type": "quantitative"}},
    }
    span = {
        "mark": {"type": "rule", "opacity": 0.3, "clip": True, "tooltip": False},
        "transform": [{"filter": "isValid(datum.low)"}],
        "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
    }
    dots = {
        "mark": {"type": "point", "filled": True, "opacity": 1, "clip": True},
        "params": [_hover(), _zoom()],
        "encoding": {"size": _size(64), "tooltip": _tooltip(x, y, extra)},
    }
    return {
        "height": HEIGHT + 30,
        "transform": [_interval(y.form)],
        "encoding": {"x": inside, "y": _along("value", y), "color": _colours(looks)},
        "layer": [path, joint, span, dots],
    }


def _along(field: str, axis: Axis) -> View:
    """A quantitative channel."""
    scale: View = {"zero": True, "nice": True}
    if axis.log:
        scale = {"type": "log", "nice": False}
    elif field == "x":
        scale = {"zero": False, "nice": False}
    if axis.ends:
        scale = {**scale, "domain": list(axis.ends)}
    drawn: View = {"format": FORMS[axis.form]}
    if axis.ticks is not None:
        drawn |= {"values": list(axis.ticks)}
    elif field == "x":
        drawn |= {"tickCount": 6}
    return {"field": field, "type": "quantitative", "title": axis.title, "scale": scale, "axis": drawn}


def _row_axis() -> View:
    return {"labelColor": theme.COLOURS["ink"][0], "labelFontSize": 12, "domain": False,
            "ticks": False, "grid": False}  # fmt: skip


def without_legends(part: Any) -> Any:
    """A view for a page that has legends of its own."""
    if isinstance(part, dict):
        return {name: None if name == "legend" else without_legends(inner) for name, inner in part.items()}
    return [without_legends(one) for one in part] if isinstance(part, list) else part


def _colours(looks: Mapping[str, str]) -> View:
    scale = {"domain": list(looks), "range": [theme.colour(look) for look in looks.values()]}
    legend: View | None = (
        {"symbolType": "circle", "symbolStrokeWidth": 0, "symbolOpacity": 1} if len(looks) > 1 else None
    )
    return {"field": "name", "type": "nominal", "title": None, "scale": scale, "legend": legend}


def _dashes(looks: Mapping[str, str]) -> View:
    return {"domain": list(looks), "range": [theme.dash(look) for look in looks.values()]}


def _hover() -> View:
    return {"name": "hover", "select": {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}}


def _zoom() -> View:
    """Moves and scales with Shift held, so that the page still scrolls; a double click takes it back."""
    drag = "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!"
    select = {"type": "interval", "zoom": "wheel![event.shiftKey]", "translate": drag, "on": drag}
    return {"name": "zoom", "select": select, "bind": "scales"}


def _size(small: int) -> View:
    """Of marks: larger under the pointer, and where the keyboard is (the parameter `at`)."""
    here = "at && at.name === datum.name && at.x === datum.x && at.row === datum.row"
    large = max(110, small + 50)
    return {
        "condition": [{"param": "hover", "empty": False, "value": large}, {"test": here, "value": large}],
        "value": small,
    }


def _text(field: str, title: str) -> View:
    return {"field": field, "type": "nominal", "title": title}


def _shown(field: str, axis: Axis) -> View:
    return {"field": field, "type": "quantitative", "title": axis.title, "format": FORMS[axis.form]}


def _tooltip(x: Axis | None, y: Axis, extra: Sequence[str]) -> list[View]:
    along = [] if x is None else [_shown("x", x)]
    return [
        _text("name", " "),
        *along,
        _shown("value", y),
        _text("interval", "interval"),
        *(_text(name, name) for name in extra),
    ]


def _interval(form: str) -> View:
    """The transform that writes a record's interval for its tooltip."""
    how = FORMS[form]
    written = f"format(datum.low, '{how}') + ' to ' + format(datum.high, '{how}')"
    return {"calculate": f"isValid(datum.low) ? {written} : ''", "as": "interval"}


def largest(records: Iterable[Record]) -> float:
    """The highest end of records."""
    return max((each["high" if "high" in each else "value"] for each in records if "value" in each), default=0.0)
