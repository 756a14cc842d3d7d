"""Poisons against recipes: what each leaves of the targeted phenotype and of linkage, and what `best-of` chose."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.plan.facts import NOTHING
from linkbench.report import numbers
from linkbench.report.figures.base import chosen_size, panel_titles
from linkbench.report.training import Training
from linkbench.results.cells import (
    MeasuredCell,
    Roles,
    Value,
    cleaned,
    coordinates,
    grouped,
    main_attacker,
    top_k,
)

AXES = ("cohort", "genomes", "channel")


class Square(NamedTuple):
    """One number; small: a second line; shade 0..10; counts: whether it is the poison's headline."""

    value: str
    small: str
    shade: int
    counts: bool


class Grid(NamedTuple):
    """Poisons (rows) against models (columns) in one setting."""

    title: str
    models: list[str]
    rows: list[tuple[str, list[Square | None]]]


class Choices(NamedTuple):
    """What best-of made of every poison: the candidates' scores, each with whether it won."""

    recipes: list[str]
    rows: list[tuple[str, list[tuple[str, bool]]]]


class Poisons(NamedTuple):
    """All tables about poisons, and how to read them."""

    text: str
    grids: list[Grid]
    choices: list[Choices]


def tables(
    cells: list[MeasuredCell], parts: Roles, run: dict[str, Any], trainings: dict[str, Training]
) -> Poisons | None:
    """The matrices; nothing where only one poison (or none) was played."""
    main = main_attacker(cells, parts)
    own = [cell for cell in cells if cell.attacker == main and cell.facts.undefended]
    if len({cell.poison for cell in own}) < 2:
        return None
    best = _best_of(run)
    n, ks = chosen_size(own), top_k(own)
    aims = {poison: aim for poison, aim in _aims(run).items() if any(cell.poison == poison for cell in own)}
    common = next(iter(aims.values())) if len(set(aims.values())) == 1 else None
    titles = panel_titles(own, AXES)
    grids = []
    for group in grouped(own, lambda cell: coordinates(cell, AXES)):
        setting = titles[coordinates(group[0], AXES)]
        words = f"clean photos whose {common} is told right" if common else "clean photos told right"
        told = [_accuracy(cell, aims.get(cell.poison, common)) for cell in group]
        names = {} if common else {poison: aim or "all phenotypes" for poison, aim in aims.items()}
        grids.append(_grid(_title(setting, words), group, told, best, names))
        if ks and n is not None:
            linked = [(cell.at(ks[0], n), "") for cell in group]
            words = f"success@{ks[0]} of {main}, population of {n}"
            grids.append(_grid(_title(setting, words), group, linked, best, {}))
    return Poisons(_text(own, best), grids, _choices(own, trainings))


def _text(cells: list[MeasuredCell], best: set[str]) -> str:
    text = (
        "Photos for training were poisoned, photos to be linked were not. Rows are poisons, columns the attacker's "
        "models; the stronger the colour, the better for the attacker. Below each accuracy: the highest and the last "
        "of all epochs, which choose nothing. "
    )
    if any(cell.model in best for cell in cells):
        return text + (
            "The number that counts for a poison is the one in the framed column, best-of: an attacker who knows that "
            "there are poisons tries countermeasures, and keeps what works on a few photos that he knows to be clean."
        )
    return text + (
        "The number that counts for a poison is the framed one, the highest of its row: an attacker who knows that "
        "there are poisons tries recipes until one works. A model with the recipe best-of would choose it without a "
        "look at the photos that are linked."
    )


def _title(setting: str, words: str) -> str:
    return f"{setting}: {words}" if setting else words[0].upper() + words[1:]


def _grid(
    title: str,
    cells: list[MeasuredCell],
    measured: list[tuple[Value | None, str]],
    best: set[str],
    aims: dict[str, str],
) -> Grid:
    models = list(dict.fromkeys(cell.model for cell in cells))
    found = {(cell.poison, cell.model): one for cell, one in zip(cells, measured, strict=True)}
    values = [one.value for one, _ in found.values() if one]
    lowest = min(values, default=0.0)
    span = max((max(values, default=1.0) or 1.0) - lowest, 1e-9)
    clean = {cell.poison for cell in cells if cell.facts.unpoisoned}
    rows = []
    for poison in dict.fromkeys(cell.poison for cell in cells):
        row = [found.get((poison, model), (None, "")) for model in models]
        counts = set() if poison in clean else _counting(models, row, best)
        squares = [
            _square(one, small, (lowest, span), model in counts)
            for model, (one, small) in zip(models, row, strict=True)
        ]
        name = "no poison" if poison in clean else poison
        rows.append((f"{name} ({aims[poison]})" if poison in aims else name, squares))
    return Grid(title, models, rows)


def _counting(models: list[str], row: list[tuple[Value | None, str]], best: set[str]) -> set[str]:
    """The models whose number counts for a poison: those that choose the best recipe, else the highest of the row."""
    if best & set(models):
        return best
    most = max((one.value for one, _ in row if one), default=0.0)
    return {model for model, (one, _) in zip(models, row, strict=True) if one and one.value == most}


def _square(one: Value | None, small: str, scale: tuple[float, float], counts: bool) -> Square | None:
    """One number, shaded by where it lies from the lowest over the whole span."""
    if one is None:
        return None
    lowest, span = scale
    interval = small or numbers.percent_range(one.low, one.high, "")
    return Square(numbers.percent(one.value), interval, round(10 * (one.value - lowest) / span), counts)


def _accuracy(cell: MeasuredCell, phenotype: str | None) -> tuple[Value | None, str]:
    """Accuracy of one phenotype, or the mean of all, and its peak and final value."""
    names = (
        [phenotype] if phenotype else [name.partition(":")[2] for name in cell.metrics if name.startswith("accuracy:")]
    )

    def mean(metric: str) -> Value | None:
        values = [cell.metrics[f"{metric}:{name}"] for name in names if f"{metric}:{name}" in cell.metrics]
        if not values or len(values) < len(names):
            return None
        return Value(*(sum(part) / len(values) for part in zip(*values, strict=True)))

    peak, final = mean("peak_accuracy"), mean("final_accuracy")
    small = f"{numbers.percent(peak.value, '')} / {numbers.percent(final.value, '')}" if peak and final else ""
    return mean("accuracy"), small


def _aims(run: dict[str, Any]) -> dict[str, str | None]:
    """The phenotype that each poison aims at, None for all of them, by the poison's label."""
    poisons = run.get("scenario", {}).get("poisons") or []
    return {
        cleaned(spec["label"]): cleaned(aim) if (aim := spec["params"].get("phenotype")) else None
        for spec in poisons
        if spec["name"] != NOTHING
    }


def _best_of(run: dict[str, Any]) -> set[str]:
    """The models that best-of trains."""
    models = run.get("scenario", {}).get("models") or []
    return {cleaned(model["name"]) for model in models if model["recipe"]["name"] == "best-of"}


def _choices(cells: list[MeasuredCell], trainings: dict[str, Training]) -> list[Choices]:
    """One table for all predictors that were chosen from the same candidates."""
    axes = (*AXES, "model", "poison")
    chosen = [cell for cell in cells if cell.ids[0] in trainings and trainings[cell.ids[0]].candidates]
    titles = panel_titles(chosen, axes)
    out = []
    for group in grouped(chosen, lambda cell: tuple(trainings[cell.ids[0]].candidates)):
        rows = []
        for cell in group:
            told = trainings[cell.ids[0]]
            scores = [(numbers.percent(score), name == told.chosen) for name, score in told.candidates.items()]
            rows.append((titles[coordinates(cell, axes)] or "all photos", scores))
        out.append(Choices(list(trainings[group[0].ids[0]].candidates), rows))
    return out
