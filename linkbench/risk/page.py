"""A risk as one HTML page: nothing fetched, nothing sent."""

from __future__ import annotations

from typing import Any

from linkbench.metrics.ranking import Array
from linkbench.report import document, png
from linkbench.report.drawings import Drawings
from linkbench.report.figures.base import CHANCE, Panel, Section, keys_of
from linkbench.report.figures.vega import Axis, Record, lines, record, wide
from linkbench.results.cells import Value
from linkbench.results.cells import chance as guess
from linkbench.risk.assess import Risk
from linkbench.risk.curves import Curve, Point
from linkbench.risk.reading import picture
from linkbench.risk.text import CAREFUL, HEADINGS, about, chance
from linkbench.version import __version__


def render(risk: Risk) -> str:
    """The page; the photos in it are those that the predictors saw."""
    section, drawings = _curves(risk), Drawings()
    return document.render(
        "linkbench.risk",
        document.source("page.css") + document.source("page.css", "linkbench.risk"),
        drawings,
        section=section,
        drawn_ones=drawings.add(section),
        photos=[photo.name for photo in risk.photos],
        picture=png.data_uri(picture(risk.readings)),
        readings=[_reading(reading) for reading in risk.readings],
        tables=[table for number in range(len(risk.readings)) for table in _tables(risk, number)],
        about=about(risk),
        careful=CAREFUL,
        version=__version__,
    )


def _reading(reading: Any) -> dict[str, Any]:
    rows = []
    for name, span in reading.schema.slices.items():
        values: Array = reading.pooled[span]
        rows.append(
            {
                "name": name,
                "variants": [
                    {"name": variant, "share": float(value), "most": bool(value == values.max())}
                    for variant, value in zip(reading.schema[name], values, strict=True)
                ],
            }
        )
    return {"name": reading.name, "title": reading.title, "rows": rows}


def _curves(risk: Risk) -> Section:
    """Success@1 against the size of the pile, a drawing for each predictor."""
    alone = [] if risk.demographics is None else [risk.demographics]
    names = dict.fromkeys(curve.attacker for found in risk.found for curve in [*found, *alone])
    looks = {**{name: f"s{place}" for place, name in enumerate(names, start=1)}, "guessing": CHANCE}
    panels = []
    for reading, found in zip(risk.readings, risk.found, strict=True):
        rows: list[Record] = [
            record(curve.attacker, point.size, _value(point)) for curve in [*found, *alone] for point in curve.points
        ]
        sizes = [point.size for point in found[0].points]
        rows += [record("guessing", size, Value(*[guess(1, size)] * 3)) for size in sizes]
        x = Axis("people in the pile", "count", None, wide(sizes))
        panels.append(Panel(reading.name, lines(looks, x, Axis("found first")), rows))
    text = "Chance that your genome comes first"
    return Section("pile", text, text, keys_of(looks, looks), panels)


def _value(point: Point) -> Value:
    spread = point.success[min(point.success)]
    return Value(spread.value, spread.low, spread.high)


def _tables(risk: Risk, number: int) -> list[dict[str, Any]]:
    curves = [*risk.found[number]]
    if risk.demographics is not None and number == len(risk.readings) - 1:
        curves.append(risk.demographics)
    return [_table(curve, risk.readings[number].name) for curve in curves]


def _table(curve: Curve, predictor: str) -> dict[str, Any]:
    heading = HEADINGS[curve.attacker]
    return {
        "heading": heading if curve.attacker == "demographics" else f"{predictor}: {heading}",
        "ks": list(curve.points[0].success),
        "rows": [
            {
                "size": f"{point.size:,}",
                "rank": f"{point.rank.value:,.1f} ({point.rank.low:,.1f}–{point.rank.high:,.1f})",
                "cells": [chance(spread) for spread in point.success.values()],
            }
            for point in curve.points
        ],
    }
