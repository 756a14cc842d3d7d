"""Which tool protected a photo: what was named for the photos after each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from linkbench.report import names, numbers
from linkbench.report.figures.base import SETTING_AXES, panel_titles
from linkbench.report.matrices import Matrices, Matrix, Square
from linkbench.results.cells import MeasuredCell, cleaned, coordinates, grouped, left_by

METRIC = "tool_named"
AXES = (*SETTING_AXES, "channel")


def tables(cells: list[MeasuredCell], run: dict[str, Any]) -> Matrices | None:
    """A table for every model and channel: a row for the photos after each tool, a column for each that was named."""
    found = left_by(run, "detect", run.get("detection") or {})
    known = [cell for cell in cells if METRIC in cell.metrics and _shares(found.get(cell.ids[0]), "named")]
    if not known:
        return None
    titles = panel_titles(known, AXES)
    made = []
    for group in grouped(known, lambda cell: coordinates(cell, AXES)):
        columns = [cleaned(name) for name in found[group[0].ids[0]]["names"]]
        rows = []
        if clean := _shares(found[group[0].ids[0]], "named_clean"):
            rows.append(("no defence", _squares(clean)))
        rows += [
            (names.of_cell(first), _squares(_shares(found[first.ids[0]], "named")))
            for first, *_ in grouped(group, lambda cell: (cell.defender, cell.epsilon))
        ]
        made.append(Matrix(titles[coordinates(group[0], AXES)], ["none", *columns[1:]], rows, group[0].channel))
    text = (
        "An attacker who runs every tool of the scenario on photos of his own people names the one that each photo of "
        "others went through. Rows: what photos went through; columns: the part of them for which each tool was named. "
        "Of several seeds the first is shown."
    )
    return Matrices("Which tool protected this photo?", text, made, "tools")


def _squares(shares: list[float]) -> list[Square | None]:
    return [Square(numbers.percent(share), "", round(10 * share)) for share in shares]


def _shares(detected: Any, name: str) -> list[float]:
    """The shares as recorded; nothing where they are damaged or not there."""
    if not isinstance(detected, Mapping):
        return []
    try:
        shares = [float(share) for share in detected[name]]
        fit = len(shares) == len(detected["names"])
    except (TypeError, KeyError, ValueError):
        return []
    return shares if fit and all(math.isfinite(share) and 0 <= share <= 1 for share in shares) else []
