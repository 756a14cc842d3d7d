"""Rows of the tidy table that tests of the command line do not look into."""

from __future__ import annotations

import numpy as np
import pytest
from coloured import TOY
from hypothesis import given
from hypothesis import strategies as st

from linkbench.api.data import MISSING, Array, Artefact
from linkbench.metrics.rows import Row, calibration_rows, linkage_rows, prediction_rows
from linkbench.metrics.settings import Measure

SETTINGS = Measure(resamples=200)


def rows(probabilities: Array, labels: Array) -> dict[str, Row]:
    found = calibration_rows(probabilities, labels, np.arange(len(labels)), TOY, SETTINGS, 0)
    return {row["metric"]: row for row in found}


def drawn(count: int, seed: int, sharper: float = 1.0) -> tuple[Array, Array]:
    """Predictions [n, V] and labels [n, P] that are drawn from them; sharper > 1: predictions too bold."""
    random = np.random.default_rng(seed)
    parts, labels = [], []
    for phenotype in TOY:
        honest = random.dirichlet(np.ones(len(TOY[phenotype])), count)
        labels.append((honest.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1))
        parts.append(honest**sharper / (honest**sharper).sum(axis=1, keepdims=True))
    return np.concatenate(parts, axis=1), np.stack(labels, axis=1)


def test_honest_predictions_are_calibrated_and_bold_ones_are_not() -> None:
    honest, bold = rows(*drawn(20_000, 1)), rows(*drawn(20_000, 1, sharper=4.0))
    for phenotype in TOY:
        name = f"calibration_error:{phenotype}"
        assert honest[name]["value"] < 0.02
        assert bold[name]["value"] > 0.08
        assert honest[f"log_loss:{phenotype}"]["value"] < bold[f"log_loss:{phenotype}"]["value"]


@given(st.integers(0, 2**32), st.integers(2, 40))
def test_against_a_loop(seed: int, count: int) -> None:
    probabilities, labels = drawn(count, seed)
    labels[::3, 0] = MISSING
    found = rows(probabilities, labels)
    for column, (phenotype, span) in enumerate(TOY.slices.items()):
        bins: dict[int, list[float]] = {}
        losses = []
        for given_, label in zip(probabilities[:, span], labels[:, column], strict=True):
            if label != MISSING:
                losses.append(-np.log(given_[label]))
                bins.setdefault(min(int(given_.max() * 10), 9), []).append(given_.max() - (given_.argmax() == label))
        error = sum(abs(sum(gaps)) for gaps in bins.values()) / len(losses)
        for name, value in ((f"log_loss:{phenotype}", np.mean(losses)), (f"calibration_error:{phenotype}", error)):
            assert found[name]["value"] == pytest.approx(value)
            assert found[name]["ci_low"] <= found[name]["value"] + 1e-12


def test_predictions_without_doubt_have_no_calibration() -> None:
    _, labels = drawn(5, 0)
    hard = np.concatenate([np.eye(len(TOY[phenotype]))[labels[:, at]] for at, phenotype in enumerate(TOY)], axis=1)
    assert rows(hard, labels) == {}


def linked(better: list[int], tied: list[int], population: int) -> dict[tuple[str, int | None, int | None], Row]:
    ranks = {"identity": np.arange(len(better)), "better": np.array(better), "tied": np.array(tied)}
    rank = Artefact({**ranks, "auc_parts": np.full(len(better), 0.5)}, {"population": population})
    found = linkage_rows(rank, Measure(top_k=[1, 5], sizes=[5, 10, "all"], resamples=1000), 0)
    return {(row["metric"], row["k"], row["n"]): row for row in found}


def test_everybody_found_is_not_certain_and_guessing_is() -> None:
    found = linked([0] * 102, [0] * 102, 50)
    every = found["success", 1, 50]
    assert (every["value"], every["ci_high"]) == (1.0, 1.0)
    assert 0.97 < every["ci_low"] < 0.98
    certain = found["success", 5, 5]
    assert (certain["value"], certain["ci_low"], certain["ci_high"]) == pytest.approx((1.0,) * 3), (
        "all five are claimed"
    )
    lots = linked([0] * 40, [49] * 40, 50)["success", 1, 10]
    assert (lots["value"], lots["ci_low"], lots["ci_high"]) == pytest.approx((0.1, 0.1, 0.1)), "drawn by lot"


def test_all_right_is_not_certain_in_rare_classes_either() -> None:
    labels = np.zeros((60, len(TOY)), dtype=np.int64)
    labels[:3] = 1
    found = {row["metric"]: row for row in prediction_rows(labels, labels, np.arange(60), TOY, SETTINGS, 0)}
    for phenotype in TOY:
        accuracy, balanced = (found[f"{name}:{phenotype}"] for name in ("accuracy", "balanced_accuracy"))
        assert (balanced["value"], balanced["ci_high"]) == (1.0, 1.0)
        assert accuracy["ci_low"] > 0.93
        assert balanced["ci_low"] < accuracy["ci_low"] - 0.05, "three photos of a class tell little"
