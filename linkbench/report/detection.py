"""Whether protected photos can be told from others."""

from __future__ import annotations

import math
from typing import Any

from linkbench.report import chart, numbers
from linkbench.report.chart import Series
from linkbench.report.figures import Choice, Panel, Section, colours, panels_of
from linkbench.report.svg import Ids
from linkbench.results.cells import MeasuredCell, Value, coordinates, grouped

AXES = ("cohort", "genomes", "model", "poison", "channel")
METRIC = "detection_auc"


def section(ids: Ids, cells: list[MeasuredCell], run: dict[str, Any]) -> Section | None:
    """A ROC curve for each defence, in a panel per model and channel; nothing where nothing was detected."""
    found = run.get("detection")
    if not found:
        return None
    steps = {cell["id"]: cell["steps"].get("detect") for cell in run["cells"]}
    known = [cell for cell in cells if METRIC in cell.metrics and _points(found.get(steps.get(cell.ids[0])))]
    known = [same[0] for same in grouped(known, lambda cell: (coordinates(cell, AXES), cell.defender, cell.epsilon))]
    if not known:
        return None
    names = {id(cell): _name(cell) for cell in known}
    looks = colours(list(dict.fromkeys(names.values())))
    panels, note = panels_of(known, AXES)
    drawn = []
    for title, group in panels:
        lines: list[tuple[Series, float | None]] = [
            (
                Series(names[id(cell)], looks[names[id(cell)]], _points(found.get(steps[cell.ids[0]]))),
                cell.metrics[METRIC].value,
            )
            for cell in group
        ]
        name = "ROC curves of detection" + (f", {title}" if title else "")
        drawn.append(Panel(title, chart.roc(ids, name, lines, "protected photos found")))
    return Section(
        "detection",
        "Was this photo protected?",
        "An attacker who runs the tool on photos of his own people learns what it leaves in the finest detail, and "
        "tells protected photos of others from unprotected ones. On the diagonal he cannot. Whoever is found to use a "
        "tool can be met by an attacker who calibrates and cleans for it.",
        [],
        "",
        [Choice("", drawn)],
        note,
    )


def _name(cell: MeasuredCell) -> str:
    return cell.defender if cell.epsilon is None else f"{cell.defender}, ε {numbers.epsilon(cell.epsilon)}"


def _points(curve: Any) -> list[tuple[float, Value]]:
    """The curve as recorded; nothing where it is damaged or not there."""
    try:
        pairs = [(float(x), float(y)) for x, y in zip(curve["false"], curve["true"], strict=True)]
    except (TypeError, KeyError, ValueError):
        return []
    return [(x, Value(y, y, y)) for x, y in pairs] if all(map(math.isfinite, sum(pairs, ()))) else []
