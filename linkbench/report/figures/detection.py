"""Whether protected photos can be told from others."""

from __future__ import annotations

import math
from typing import Any

from linkbench.report import names
from linkbench.report.figures.base import SETTING_AXES, Panel, Section, colours, keys_of, panels_of
from linkbench.report.figures.roc import points
from linkbench.report.figures.vega import Record, roc
from linkbench.results.cells import MeasuredCell, coordinates, grouped, left_by

METRIC = "detection_auc"


def section(cells: list[MeasuredCell], run: dict[str, Any]) -> Section | None:
    """A ROC curve for each defence; nothing where nothing was detected."""
    found = left_by(run, "detect", run.get("detection") or {})
    curves = {cell.ids[0]: _points(found.get(cell.ids[0])) for cell in cells if METRIC in cell.metrics}
    known = [cell for cell in cells if curves.get(cell.ids[0])]
    axes = (*SETTING_AXES, "channel", "defender", "epsilon")
    known = [same[0] for same in grouped(known, lambda cell: coordinates(cell, axes))]
    if not known:
        return None
    looks = colours(dict.fromkeys(names.of_cell(cell) for cell in known))
    panels, note = panels_of(known, SETTING_AXES)
    drawn = []
    for title, group in panels:
        rows: list[Record] = []
        for cell in group:
            area = f"{cell.metrics[METRIC].value:.3f}"
            rows += points(names.of_cell(cell), curves[cell.ids[0]], channel=cell.channel, area=area)
        drawn.append(Panel(title, roc(looks, "protected photos found"), rows))
    return Section(
        "detection",
        "Was this photo protected?",
        "An attacker who runs the tool on photos of his own people learns what it leaves in the finest detail, and "
        "tells protected photos of others from unprotected ones. On the diagonal he cannot. Whoever is found to use a "
        "tool can be met by an attacker who calibrates and cleans for it.",
        keys_of(looks, looks),
        drawn,
        note=note,
        folded=True,
        shared=False,
    )


def _points(curve: Any) -> list[tuple[float, float]]:
    """The curve as recorded; nothing where it is damaged or not there."""
    try:
        pairs = [(float(x), float(y)) for x, y in zip(curve["false"], curve["true"], strict=True)]
    except (TypeError, KeyError, ValueError):
        return []
    return pairs if all(map(math.isfinite, sum(pairs, ()))) else []
