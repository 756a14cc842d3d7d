"""Theorem 1: the claim fails on dependent pixels, the repair holds on whatever data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from linkbench.api.data import TEST, TRAIN, Artefact, Cohort, strings
from linkbench.api.schema import PAPER, Schema
from linkbench.defenders import theorem
from linkbench.defenders.patterns import rademacher
from linkbench.defenders.shortcut import Shortcut
from linkbench.errors import InputError
from linkbench.metrics import rows as metrics
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.registry.spec import Spec
from linkbench.stages import theorem_check as stage

SEX = Schema({"sex": PAPER["sex"]})


@pytest.mark.parametrize(
    ("dimensions", "claimed", "epsilon"), [(3_072, 0.7795, 11.3), (12_288, 0.9976, 5.6), (150_528, 1.0, 1.6)]
)
def test_the_essays_figures(dimensions: int, claimed: float, epsilon: float) -> None:
    page = (Path(__file__).parents[1] / "docs/theorem1.md").read_text()
    assert f"| {dimensions:,} | {f'{claimed:.4f}'.lstrip('0')} | {epsilon}/255 |" in page
    assert round(theorem.bound(8 / 255, dimensions, math.inf), 4) == claimed
    assert round(theorem.epsilon_for(0.05, dimensions, math.inf) * 255, 1) == epsilon


@given(eta=st.floats(1e-6, 0.999), dimensions=st.integers(1, 10**6), norm=st.sampled_from([2.0, 3.0, math.inf]))
def test_epsilon_for_inverts_the_bound(eta: float, dimensions: int, norm: float) -> None:
    assert 1 - theorem.bound(theorem.epsilon_for(eta, dimensions, norm), dimensions, norm) == pytest.approx(
        eta, rel=1e-6
    )
    for wrong in (0.0, 1.0):
        with pytest.raises(InputError):
            theorem.epsilon_for(wrong, dimensions, norm)


def test_bound() -> None:
    assert theorem.bound(8 / 255, 12288, np.inf) == pytest.approx(1 - np.exp(-((8 / 255) ** 2) * 12288 / 2))
    assert theorem.bound(1.0, 10, 2) == theorem.bound(1.0, 10**6, 2) == pytest.approx(1 - np.exp(-0.5))
    assert theorem.bound(0, 5, np.inf) == 0
    assert theorem.step(0.1, 100, np.inf) == 0.1
    assert theorem.step(0.1, 100, 2) == pytest.approx(0.01)
    for bad in ((0.1, 10, 0.5), (0.1, 0, 2), (-0.1, 10, 2), (0.1, 10, float("nan"))):
        with pytest.raises(InputError):
            theorem.bound(*bad)


def adversary(name: str, n: int, d: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Data on which the theorem as written fails, or that are chosen against the label."""
    random = np.random.default_rng(1)
    y = random.integers(0, 2, n) * 2 - 1
    if name == "flat":  # every photo one grey: all its pixels are one number
        photos = np.repeat(random.random((n, 1)), d, axis=1)
    elif name == "against":  # white photos for -1, black for +1: pixels at the ends, mean against the label
        photos = np.repeat((y[:, None] < 0).astype(float), d, axis=1)
    else:  # few directions
        photos = np.clip(0.5 + random.standard_normal((n, 3)) @ random.standard_normal((3, d)) / 3, 0, 1)
    return photos.astype(np.float32), y


@pytest.mark.parametrize("name", ["flat", "against", "few"])
def test_repaired_theorem_holds_where_the_first_fails(name: str) -> None:
    n, d, alpha = 300, 3072, 12 / 255
    photos, y = adversary(name, n, d)
    claim = theorem.bound(alpha, d, np.inf)
    assert claim > 0.96
    if name != "few":
        assert theorem.accuracy(theorem.rule(theorem.poison(photos, y, alpha), 1.0), y) < 0.6
    right = []
    for seed in range(25):
        w = theorem.flips(d, seed)
        published = theorem.eight_bit(theorem.poison(photos, y, alpha, w))
        right.append(theorem.accuracy(theorem.rule(published, w), y))
    # the mean over draws of w estimates the probability that Hoeffding bounds; clipping is included in the proof
    assert np.mean(right) >= claim


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.99, 1.0]), min_size=1, max_size=10),
    st.sampled_from([0.01, 0.2, 0.5, 0.9]),
    st.sampled_from([-1, 1]),
)
def test_repaired_theorem_exactly(pixels: list[float], alpha: float, label: int) -> None:
    """All 2^d patterns at once: the error over the draw of w is at most exp(-d alpha^2 / 2) for any photo."""
    d = len(pixels)
    w = (np.arange(2**d)[:, None] >> np.arange(d) & 1) * 2.0 - 1
    out = np.clip(np.array(pixels) + alpha * label * w, 0, 1)
    wrong = ((w * (out - theorem.GREY)).sum(1) * label <= 1e-12).mean()
    assert wrong <= np.exp(-d * alpha**2 / 2) + 1e-12


def test_several_classes() -> None:
    random = np.random.default_rng(0)
    photos = np.repeat(random.random((200, 1)), 12288, axis=1).astype(np.float32)
    labels = random.integers(0, 9, 200)
    patterns = rademacher.class_patterns(9, 64, 2).reshape(9, -1)
    alpha = 16 / 255
    published = theorem.eight_bit((photos + alpha * patterns[labels]).clip(0, 1))
    said = theorem.several_rule(published, patterns)
    assert theorem.accuracy(said, labels) >= theorem.several_bound(alpha, 12288, 9) > 0.9
    assert theorem.several_bound(0.001, 100, 5) == 0


def test_least_squares_is_the_ridge_solution() -> None:
    random = np.random.default_rng(2)
    x, classes = random.random((50, 4)), random.integers(0, 3, 50)
    model = theorem.least_squares(x, classes, ridge=0.1)
    centred, targets = x - x.mean(0), np.eye(3)[classes]
    penalty = 0.1 * np.trace(centred @ centred.T) / 50
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(4), centred.T @ (targets - targets.mean(0)))
    assert np.allclose(model.weights, weights)
    assert np.allclose(x.mean(0) @ model.weights + model.intercept, targets.mean(0))


def held(pattern: str, photos: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], **how: Any) -> tuple[Artefact, Any]:
    """What the stage finds on photos uint8 [n, 3, h, w] of people who take turns in training and test."""
    place = np.arange(len(photos))
    split = np.where(place % 2, TEST, TRAIN)
    ids = strings([str(i) for i in place])
    cohort = Cohort(SEX, ids, place, labels[:, None], place, split, photos).artefact()
    poison = Spec(
        "defender", "shortcut", Shortcut(pattern=pattern, phenotype="sex", **how).model_dump(mode="json"), "poison"
    )
    specs = {"defender": poison, "channel": Spec("channel", "png", {}, "png")}
    found = stage.rule(Task({"cohort": cohort}, specs, {}, 0, "cpu"))
    rows = {row["metric"]: row["value"] for row in metrics.rule_rows(found, Measure(resamples=100), 0)}
    return found, rows


@pytest.mark.slow
def test_stage_holds_the_theorem_against_photos() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 120)
    flat = np.broadcast_to(random.integers(0, 256, (120, 1, 1, 1)), (120, 3, 32, 32)).astype(np.uint8)
    found, shift = held("mean-shift", flat, labels, epsilon=12 / 255)
    signs, repaired = held("rademacher", flat, labels, epsilon=12 / 255)
    assert shift["bound:sex"] == repaired["bound:sex"] == theorem.bound(12 / 255, 3072, np.inf) > 0.96
    assert shift["rule_accuracy:sex"] < 0.65
    assert repaired["rule_accuracy:sex"] >= repaired["bound:sex"]
    assert repaired["rule_accuracy_worst:sex"] <= repaired["rule_accuracy:sex"]
    assert repaired["linear_accuracy:sex"] == 1
    assert repaired["linear_accuracy_clean:sex"] < 0.7
    # the same from the formulas alone: both codings of the label, the mean photo of the training people subtracted
    x, y = flat / np.float32(255), labels * 2 - 1
    centre = x[::2].mean(axis=0)
    right = [
        theorem.rule(theorem.eight_bit(theorem.poison(x, sign * y, 12 / 255)), 1.0, centre) == sign * y
        for sign in (1, -1)
    ]
    assert shift["rule_accuracy:sex"] == pytest.approx(np.mean(right))
    assert np.allclose(found.array("rule"), np.mean(right, axis=0))
    assert len(signs.array("rule")) == 120


def test_stage_in_the_two_norm_and_where_nothing_is_claimed() -> None:
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (40, 3, 32, 32)).astype(np.uint8)
    labels = np.arange(40) // 2 % 2
    _, two = held("rademacher", photos, labels, norm=2, epsilon=2.0)
    _, same = held("rademacher", photos, labels, epsilon=2.0 / 3072**0.5)
    assert two == pytest.approx(same)
    assert two["bound:sex"] == pytest.approx(1 - np.exp(-2))
    assert Shortcut(pattern="mean-shift").bound(3072, 3) is None
    assert Shortcut(pattern="rademacher").bound(3072, 3) == theorem.several_bound(8 / 255, 3072, 3)
    assert not Shortcut(pattern="lsp").proves()
    for bad in ({"epsilon": 1.5}, {"norm": 2, "pattern": "one-pixel"}):
        with pytest.raises(ValidationError):
            Shortcut(**bad)


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.3])
def test_mean_shift_accuracy_is_what_the_page_says(alpha: float) -> None:
    """docs/theorem1.md: 1/2 + alpha for photos of one uniform grey, whatever d is; Phi(alpha / s) for normal means."""
    y = np.tile([-1, 1], 5000)
    grey = np.repeat((np.arange(5000) + 0.5) / 5000, 2)[:, None]
    for d in (1, 50):
        photos = np.repeat(grey, d, axis=1)
        right = theorem.accuracy(theorem.rule(theorem.poison(photos, y, alpha, clip=False), 1.0), y)
        assert right == pytest.approx(0.5 + alpha, abs=2e-3)
    spread = 0.14
    normal = 0.5 + spread * np.repeat(np.random.default_rng(0).standard_normal(5000), 2)[:, None]
    right = theorem.accuracy(theorem.rule(theorem.poison(normal, y, alpha, clip=False), 1.0), y)
    assert right == pytest.approx(theorem.normal_accuracy(alpha, spread), abs=0.02)
