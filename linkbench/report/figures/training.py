"""How predictors were trained: clean accuracy and loss by epoch, with and without poison."""

from __future__ import annotations

import math

from linkbench.report.figures.base import Choice, Panel, Section, colours, keys_of, panels_of
from linkbench.report.figures.vega import Axis, Record, lines, short
from linkbench.report.training import Training
from linkbench.results.cells import MeasuredCell, coordinates, grouped

AXES = ("cohort", "genomes", "model")
LOSS = "training loss"
CLEAN = "no poison"


def curves(cells: list[MeasuredCell], trainings: dict[str, Training]) -> Section | None:
    """Clean accuracy of every phenotype and the training loss against the epoch, one line per poison."""
    own = [cell for cell in cells if cell.ids[0] in trainings and len(trainings[cell.ids[0]].loss) > 1]
    own = [same[0] for same in grouped(own, lambda cell: coordinates(cell, (*AXES, "poison")))]
    if not own:
        return None
    looks = colours(dict.fromkeys(map(_poison, own)), {CLEAN: "truth"})
    panels, note = panels_of(own, AXES)
    drawn = []
    for title, group in panels:
        rows: list[Record] = []
        for cell in group:
            told = trainings[cell.ids[0]]  # of the first seed
            for by, values in ({**told.accuracy, LOSS: told.loss}).items():
                rows += [
                    {"name": _poison(cell), "x": epoch, "value": short(value), "by": by}
                    for epoch, value in enumerate(values, start=1)
                    if math.isfinite(value)
                ]
        view = lines(looks, Axis("epoch", "count"), Axis("share told right, or loss", "plain"), whole=True, bands=False)
        drawn.append(Panel(title, view, rows))
    poisoned = len(looks) > 1
    shown = dict.fromkeys(row["by"] for panel in drawn for row in panel.rows)
    return Section(
        "training",
        "Training",
        "Accuracy on clean test photos after every epoch, and the loss on the photos trained on. No recipe sees the "
        "test photos: they choose nothing. The weights that are linked with are those of the epoch with the lowest "
        "loss on the validation photos, where the recipe stops early."
        + (" A poison that works lets the loss fall while clean accuracy stays behind." if poisoned else ""),
        keys_of(looks, looks) if poisoned else [],
        drawn,
        Choice("shown by epoch", {by: by if by == LOSS else f"{by} told right, clean photos" for by in shown}),
        note,
        folded=True,
    )


def _poison(cell: MeasuredCell) -> str:
    return CLEAN if cell.facts.unpoisoned else cell.poison
