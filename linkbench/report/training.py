"""How predictors were trained, as run.json tells it."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.results.cells import cleaned, left_by


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
    return left_by(run, "curves", trained)


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
