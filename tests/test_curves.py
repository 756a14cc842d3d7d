"""Training curves: measured by the harness on clean test photos, seen by no recipe, changing no weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coloured import TOY, cohort, task
from torch import nn

from linkbench.api.data import MISSING, TEST, Artefact, Cohort, most_likely
from linkbench.api.training_data import Report, TrainingData
from linkbench.metrics.rows import curve_rows
from linkbench.metrics.settings import Measure
from linkbench.models.predictor import WEIGHTS, load_predictor, predict
from linkbench.plan.task import Task
from linkbench.recipes.standard import Standard
from linkbench.report.training import read
from linkbench.stages.train import curves, train

SMALL = {"use": "small-cnn", "width": 4, "depth": 3}
QUICK: dict[str, Any] = {"use": "standard", "epochs": 4, "learning_rate": 0.01, "patience": None}


def curve(people: Artefact, trained: Artefact) -> Artefact:
    return curves(Task({"train": trained, "cohort": people}, {}, {}, 0, "cpu"))


def test_the_last_epoch_is_what_the_predictor_says() -> None:
    people, genomes = cohort(64)
    out = train(task(SMALL, QUICK, cohort=people, genomes=genomes))
    tested = np.flatnonzero(people.array("split") == TEST)
    np.testing.assert_array_equal(out.array("watched_photo"), tested)
    judged = most_likely(predict(load_predictor(out), people.array("photos"), rows=tested), TOY)
    np.testing.assert_array_equal(out.array("watched")[-1], judged)  # no early stopping: the last weights stay
    history = curve(people, out).meta["history"]
    assert len(history) == 4
    assert "watched" not in history[0]
    truth = people.array("labels")[tested]
    for column, phenotype in enumerate(TOY):
        assert history[-1]["test"][phenotype] == (judged[:, column] == truth[:, column]).mean()


def test_watching_changes_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    people, genomes = cohort(48)
    given = task(SMALL, QUICK, cohort=people, genomes=genomes)
    watched = train(given)
    original = Standard.train

    def unwatched(self: Standard, network: nn.Module, data: TrainingData) -> Report:
        import dataclasses

        return original(self, network, dataclasses.replace(data, watch=None))

    monkeypatch.setattr(Standard, "train", unwatched)
    alone = train(given)
    assert "watched" not in alone.arrays
    assert [name for name in watched.arrays if not np.array_equal(watched.array(name), alone.arrays.get(name, []))] == [
        "watched",
        "watched_photo",
    ]
    assert curve(people, alone).meta["history"][0].keys() == {"phase", "epoch", "loss", "validation"}


def test_a_recipe_is_told_nothing_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    people, genomes = cohort(48)
    told: list[Any] = []
    original = Standard.train

    def listening(self: Standard, network: nn.Module, data: TrainingData) -> Report:
        report = original(self, network, data)
        told.extend(row["watched"] for row in report.history)
        return report

    monkeypatch.setattr(Standard, "train", listening)
    train(task(SMALL, QUICK, cohort=people, genomes=genomes))
    assert told == [0, 1, 2, 3], "numbers of looks, not what was seen"


def test_peak_and_final_of_the_last_phase() -> None:
    people = Cohort.of(cohort(16)[0])
    photo = np.flatnonzero(people.split == TEST)
    truth = people.labels[photo].astype(np.int8)
    wrong = np.stack([1 - truth[:, 0], (truth[:, 1] + 1) % 3], axis=1)
    half = np.where((np.arange(len(photo)) % 2 == 0)[:, None], truth, wrong)
    # the first phase was perfect, which does not count; then all wrong, half right, all wrong
    looks = np.stack([truth, wrong, half, wrong])
    history = [{"phase": phase, "epoch": epoch} for phase, epoch in (("a", 0), ("b", 0), ("b", 1), ("b", 2))]
    kept = Artefact({"watched": looks, "watched_photo": photo}, {"history": history})
    rows = {row["metric"]: row for row in curve_rows(kept, people, Measure(resamples=100), 0)}
    assert set(rows) == {f"{name}_accuracy:{phenotype}" for name in ("peak", "final") for phenotype in TOY}
    for phenotype in TOY:
        assert rows[f"peak_accuracy:{phenotype}"]["value"] == 0.5
        assert rows[f"final_accuracy:{phenotype}"]["value"] == 0
        assert rows[f"peak_accuracy:{phenotype}"]["ci_low"] <= 0.5 <= rows[f"peak_accuracy:{phenotype}"]["ci_high"]
    people.labels[:, 1] = MISSING
    assert {row["metric"] for row in curve_rows(kept, people, Measure(resamples=100), 0)} == {
        "peak_accuracy:side",
        "final_accuracy:side",
    }


def test_every_phase_is_watched() -> None:
    people, genomes = cohort(16)
    recipe = {"use": "adversarial", "defender": {"use": "joint-pgd", "steps": 1}, "passes": 1, "copies": 1}
    out = train(task(SMALL, recipe, cohort=people, genomes=genomes))
    history = out.meta["report"]["history"]
    assert {row["phase"] for row in history} == {"train", "adversarial"}
    assert len(out.array("watched")) == len(history)
    assert not any(name.startswith(WEIGHTS + "watched") for name in out.arrays)


def test_a_recipe_without_epochs_has_no_curves_in_the_report() -> None:
    run = {
        "schema": [["side", ["left", "right"]]],
        "training": {"a": {"history": [], "best": {}, "candidates": []}},
        "cells": [{"id": "c", "steps": {"curves": "a"}}],
    }
    told = read(run)["c"]
    assert (told.accuracy, told.loss, told.candidates, told.chosen) == ({}, [], {}, None)
