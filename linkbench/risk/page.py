"""A risk as one HTML page: nothing fetched, nothing sent."""

from __future__ import annotations

from typing import Any

from linkbench.metrics.ranking import Array
from linkbench.report import chart, document, png
from linkbench.report.svg import Ids, Markup
from linkbench.results.cells import Value
from linkbench.risk.assess import Risk
from linkbench.risk.curves import Curve, Point
from linkbench.risk.reading import picture
from linkbench.risk.text import CAREFUL, HEADINGS, about, chance
from linkbench.version import __version__


def render(risk: Risk) -> str:
    """The page; the photos in it are those that the predictors saw."""
    ids = Ids()
    return document.render(
        "linkbench.risk",
        document.source("page.css") + document.source("page.css", "linkbench.risk"),
        photos=[photo.name for photo in risk.photos],
        picture=png.data_uri(picture(risk.readings)),
        readings=[_reading(reading) for reading in risk.readings],
        charts=[_chart(ids, risk, number) for number in range(len(risk.readings))],
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


def _chart(ids: Ids, risk: Risk, number: int) -> Markup:
    """Success@1 against the size of the pile."""
    curves = [*risk.found[number], *([risk.sex_alone] if risk.sex_alone is not None else [])]
    series = [
        chart.Series(curve.attacker, f"s{place}", [(float(point.size), _value(point)) for point in curve.points])
        for place, curve in enumerate(curves, start=1)
    ]
    guess = [(float(point.size), Value(1 / point.size, 1 / point.size, 1 / point.size)) for point in curves[0].points]
    series.append(chart.Series("guessing", "chance", guess))
    most = max(value.high for each in series for _, value in each.points)
    top = min(1.0, max(0.05, most * 1.1))
    title = f"Chance that your genome comes first: {risk.readings[number].name}"
    return chart.lines(
        ids, title, series, chart.size_axis([point.size for point in curves[0].points]), "found first", top=top
    )


def _value(point: Point) -> Value:
    spread = point.success[min(point.success)]
    return Value(spread.value, spread.low, spread.high)


def _tables(risk: Risk, number: int) -> list[dict[str, Any]]:
    curves = [*risk.found[number]]
    if risk.sex_alone is not None and number == len(risk.readings) - 1:
        curves.append(risk.sex_alone)
    return [_table(curve, risk.readings[number].name) for curve in curves]


def _table(curve: Curve, predictor: str) -> dict[str, Any]:
    heading = HEADINGS[curve.attacker]
    return {
        "heading": heading if curve.attacker == "sex alone" else f"{predictor}: {heading}",
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
