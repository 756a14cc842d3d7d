"""The look of all figures: one palette for light and dark paper, thin lines, few ticks."""

from __future__ import annotations

from typing import Any

COLOURS = {
    "paper": ("#ffffff", "#14171a"),
    "ink": ("#1b1f24", "#e7e9eb"),
    "quiet": ("#59616b", "#a2aab3"),
    "rule": ("#dfe2e6", "#343a41"),
    "grid": ("#e8eaed", "#272c31"),
    "guess": ("#7d858f", "#8b949e"),
    "s1": ("#0068b0", "#5fb4f2"),
    "s2": ("#c24a06", "#ff9350"),
    "s3": ("#007d5a", "#3fcb9b"),
    "s4": ("#a13f8b", "#e48cd0"),
    "s5": ("#866800", "#d9bd45"),
    "s6": ("#1f7d9d", "#7fd3ec"),
    "s7": ("#7d3d17", "#cf9f7a"),
    "s8": ("#6250c8", "#ab9fff"),
}
"""Every colour on light and on dark paper. No two names share a light one, so that a dark figure is a light one with
its colours replaced; page.css names the same."""

ROLES = {"truth": "ink", "chance": "guess"}
"""Looks that are not called after their colour."""

SOLID, DASHED, BROKEN = [1, 0], [5, 5], [9, 3]

FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"


def colour(look: str) -> str:
    """The colour of a look, `s3 broken` say, on light paper."""
    name = look.partition(" ")[0]
    return COLOURS[ROLES.get(name, name)][0]


def dash(look: str) -> list[int]:
    """How its line is broken."""
    return DASHED if look == "chance" else BROKEN if look.endswith("broken") else SOLID


def dark() -> dict[str, str]:
    """From every colour on light paper to the same on dark paper."""
    return dict(COLOURS.values())


def darkened(spec: Any) -> Any:
    """The figure on dark paper."""
    if isinstance(spec, dict):
        return {name: part if name == "data" else darkened(part) for name, part in spec.items()}
    if isinstance(spec, list):
        return [darkened(part) for part in spec]
    return dark().get(spec, spec) if isinstance(spec, str) else spec


def config() -> dict[str, Any]:
    """What Vega-Lite calls a config."""
    ink, quiet, grid = (COLOURS[name][0] for name in ("ink", "quiet", "grid"))
    return {
        "font": FONT,
        "background": COLOURS["paper"][0],
        "padding": 4,
        "view": {"stroke": None},
        "axis": {
            "labelColor": quiet, "titleColor": quiet, "labelFontSize": 11.5, "titleFontSize": 11.5,
            "titleFontWeight": "normal", "tickColor": quiet, "domainColor": quiet, "gridColor": grid,
            "labelOverlap": True, "labelLimit": 240,
        },
        "axisX": {"grid": False, "titlePadding": 8},
        "axisY": {
            "domain": False, "ticks": False, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "start",
            "titleX": 0, "titleY": -10, "labelPadding": 6,
        },
        "title": {
            "anchor": "start", "color": quiet, "fontSize": 12, "fontWeight": "normal", "frame": "bounds", "offset": 18,
        },
        "legend": {
            "orient": "bottom", "direction": "horizontal", "columns": 2, "title": None, "labelColor": ink,
            "labelFontSize": 12, "labelLimit": 230, "symbolStrokeWidth": 2,
        },
    }  # fmt: skip
