"""What the theorems behind poisons claim, and what was measured: one line per poison, publication and cohort."""

from __future__ import annotations

import re

from linkbench.report import numbers
from linkbench.report.costs import Lines
from linkbench.report.tables import place_text
from linkbench.results.cells import MeasuredCell, coordinates, grouped, varying

TITLE = "What the poison's theorem claims, and the accuracy that was measured"
AXES = ("cohort", "genomes", "model", "poison", "channel")
COLUMNS = {
    "bound": "claimed",
    "rule_accuracy": "its rule",
    "rule_accuracy_worst": "worst\ndraw",
    "linear_accuracy": "linear",
    "linear_accuracy_clean": "linear,\nclean",
    "accuracy": "network,\nclean",
}

PARAMETER = re.compile(r"[(,]\s*\w+=")
"""What stands between the words of a label such as `shortcut(pattern=lsp, phenotype=sex)`."""


def claims(cells: list[MeasuredCell]) -> Lines | None:
    """Accuracies in %, and those of the predictor trained without poison beside them; None where nothing is claimed."""
    plain = [cell for cell in cells if cell.facts.undefended]
    about = next((name.partition(":")[2] for cell in plain for name in cell.metrics if name.startswith("bound:")), None)
    if about is None:
        return None
    shown = [cell for cell in plain if cell.facts.unpoisoned or f"bound:{about}" in cell.metrics]
    differing = varying([cell.place for cell in shown])
    axes = [axis for axis in AXES if axis == "poison" or axis in differing]
    rows = [_row(same[0], axes, about) for same in grouped(shown, lambda cell: coordinates(cell, axes))]
    return Lines([*((axis, False) for axis in axes), *((words, True) for words in COLUMNS.values())], rows, 0)


def _row(cell: MeasuredCell, axes: list[str], about: str) -> list[str]:
    """Where a cell stands, and its accuracies about the poison's classes."""
    found = (cell.metrics.get(f"{name}:{about}") for name in COLUMNS)
    texts = [numbers.NOTHING if value is None else f"{100 * value.value:.1f}" for value in found]
    return [*(_plain(place_text(axis, cell.place[axis])) for axis in axes), *texts]


def _plain(label: str) -> str:
    """`inf-norm rademacher at 0.03` for `inf-norm(pattern=rademacher) at 0.03`: short words break into lines."""
    return PARAMETER.sub(" ", label).replace(")", "")
