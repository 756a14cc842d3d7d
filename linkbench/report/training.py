"""How predictors were trained: clean accuracy and loss by epoch, with and without poison."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from linkbench.report import chart, scale
from linkbench.report.chart import Axis, Series
from linkbench.report.figures import Choice, Key, Panel, Section, colours, panels_of
from linkbench.report.svg import Ids, Markup
from linkbench.results.cells import MeasuredCell, Value, cleaned, coordinates, grouped

AXES = ("cohort", "genomes", "model", "channel")


class Training(NamedTuple):
    """What run.json says about the training of one predictor.

    accuracy: phenotype -> share of clean test photos that is right, by epoch; loss: by epoch; candidates: name -> score
    on clean validation photos of the recipes that `best-of` chose from; chosen: the winner's name.
    """

    accuracy: dict[str, list[float]]
    loss: list[float]
    candidates: dict[str, float]
    chosen: str | None


def read(run: dict[str, Any]) -> dict[str, Training]:
    """The training behind every cell, by the cell's id; nothing where a run did not record it."""
    known = [cleaned(name) for name, _ in run.get("schema") or []]
    trained = {id_: _training(told, known) for id_, told in dict(run.get("training") or {}).items()}
    found = {
        cell["id"]: trained.get(cell.get("steps", {}).get("curves")) for cell in run.get("cells", []) if "id" in cell
    }
    return {id_: training for id_, training in found.items() if training is not None}


def _training(told: dict[str, Any], known: list[str]) -> Training:
    """known: the phenotypes, in the order in which they are shown."""
    history = told.get("history", [])
    accuracy: dict[str, list[float]] = {}
    for epoch in history:
        for phenotype, share in epoch.get("test", {}).items():
            if share is not None:
                accuracy.setdefault(cleaned(phenotype), []).append(float(share))
    candidates = told.get("candidates", [])
    return Training(
        {
            name: accuracy[name]
            for name in dict.fromkeys([*known, *accuracy])
            if name in accuracy and len(accuracy[name]) == len(history)
        },
        [float(epoch["loss"]) for epoch in history],
        {cleaned(one["recipe"]): float(one["score"]) for one in candidates},
        next((cleaned(one["recipe"]) for one in candidates if one.get("chosen")), None),
    )


def curves(ids: Ids, cells: list[MeasuredCell], trainings: dict[str, Training]) -> Section | None:
    """Clean accuracy of every phenotype and the training loss against the epoch, one line per poison."""
    own = [cell for cell in cells if len(_of(cell, trainings).loss) > 1]
    own = [same[0] for same in grouped(own, lambda cell: coordinates(cell, (*AXES, "poison")))]
    if not own:
        return None
    clean = {cell.poison: "truth" for cell in own if cell.facts.unpoisoned}
    looks = colours(list(dict.fromkeys(cell.poison for cell in own)), clean)
    panels, note = panels_of(own, AXES)
    phenotypes = dict.fromkeys(name for cell in own for name in _of(cell, trainings).accuracy)
    choices = []
    for phenotype in phenotypes:
        lines = _by(lambda told, name=phenotype: told.accuracy.get(name, []), trainings)  # type: ignore[misc]
        label = f"{phenotype} told right, clean photos"
        choices.append(
            Choice(phenotype, [Panel(*_panel(ids, title, group, lines, looks, label, 1.0)) for title, group in panels])
        )
    lines = _by(lambda told: told.loss, trainings)
    top = scale.nice_top(max(value for cell in own for value in lines(cell)), 6)
    drawn = [Panel(*_panel(ids, title, group, lines, looks, "training loss", top)) for title, group in panels]
    choices.append(Choice("training loss", drawn))
    poisoned = len(looks) > 1
    return Section(
        "training",
        "Training",
        "Accuracy on clean test photos after every epoch, and the loss on the photos trained on. No recipe sees the "
        "test photos: they choose nothing. The weights that are linked with are those of the epoch with the lowest "
        "loss on the validation photos, where the recipe stops early."
        + (" A poison that works lets the loss fall while clean accuracy stays behind." if poisoned else ""),
        [Key(css, "no poison" if name in clean else name) for name, css in looks.items()] if poisoned else [],
        "Shown by epoch",
        choices,
        note,
    )


def _of(cell: MeasuredCell, trainings: dict[str, Training]) -> Training:
    """The training of a cell, of its first seed."""
    return trainings.get(cell.ids[0], Training({}, [], {}, None))


def _by(
    pick: Callable[[Training], list[float]], trainings: dict[str, Training]
) -> Callable[[MeasuredCell], list[float]]:
    return lambda cell: [value for value in pick(_of(cell, trainings)) if math.isfinite(value)]


def _panel(
    ids: Ids,
    title: str,
    cells: list[MeasuredCell],
    lines: Callable[[MeasuredCell], list[float]],
    looks: dict[str, str],
    label: str,
    top: float,
) -> tuple[str, Markup]:
    drawn = [(cell, lines(cell)) for cell in cells]
    series = [
        Series(
            "no poison" if cell.facts.unpoisoned else cell.poison,
            looks[cell.poison],
            [(float(epoch), Value(value, value, value)) for epoch, value in enumerate(values, start=1)],
        )
        for cell, values in drawn
        if values
    ]
    longest = max((len(values) for _, values in drawn), default=1)
    name = f"{label}, by epoch" + (f", {title}" if title else "")
    form = "percent" if top == 1.0 and label != "training loss" else "plain"
    return title, chart.lines(ids, name, series, _epochs(longest), label, top=top, form=form)


def _epochs(longest: int) -> Callable[[float, float], Axis]:
    def axis(start: float, end: float) -> Axis:
        ticks = [tick for tick in scale.ticks(1.0, float(longest), 8) if tick == int(tick)]
        return Axis(scale.linear(1.0, float(longest), start, end), ticks, "epoch", "epoch")

    return axis
