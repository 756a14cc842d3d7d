"""Sanity of gradients: an attack that is stuck is flagged, one that works is not, and nobody else is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from linkbench.api.data import Array, Artefact
from linkbench.api.knowledge import Knowledge
from linkbench.api.schema import Schema
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.defenders.noise import Noise
from linkbench.metrics.comparison import sign_test
from linkbench.results.flags import _stuck
from linkbench.results.folder import read
from linkbench.stages.sanity import efforts, tries

HEAD = """\
linkbench: 1
name: a
cohort: {use: rendered, count: 80, size: 32}
genomes: {use: simulated, count: 80}
models: [{name: m, architecture: {use: small-cnn, width: 4, shared: true}, recipe: {use: standard, epochs: 3}}]
"""


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_is_that_of_a_fair_coin(one: int, other: int) -> None:
    expected = stats.binomtest(one, one + other, alternative="greater").pvalue if one + other else 1.0
    assert sign_test(one, other) == pytest.approx(expected)


def test_effort_is_more_of_what_the_defender_has() -> None:
    made = efforts(JointPGD(epsilon=0.1, steps=5, restarts=2))
    assert [made["steps"].steps, made["restarts"].restarts, made["epsilon"].epsilon] == [20, 8, 0.5]  # type: ignore[attr-defined]
    assert efforts(JointPGD(epsilon=0.8))["epsilon"].epsilon == 0.8  # type: ignore[attr-defined]
    assert tries(Noise(epsilon=0.01)) == ["clean", "itself", "epsilon", "random"]


def found(**gain: Array) -> Artefact:
    base = {name: np.ones(24) for name in ("itself", "steps", "restarts", "epsilon")}
    return Artefact({"clean": np.zeros(24), "random": np.full(24, 0.5), **base, **gain}, {})


def test_only_what_is_systematically_worse_is_flagged() -> None:
    random = np.random.default_rng(0)
    either = 1 + 0.1 * random.choice([-1.0, 1.0], 24)
    sound = {"a": found(), "b": found(steps=either), "c": found(restarts=np.full(24, 0.995)), "d": None}
    assert _stuck(sound, 0.95) == []
    stuck = {
        "a": found(steps=np.full(24, 0.9), random=np.full(24, 1.1)),
        "b": found(epsilon=np.r_[np.zeros(13), np.full(11, 2.0)]),
        "c": found(restarts=np.full(24, 0.5)),
    }
    assert set(_stuck(stuck, 0.95)) == {
        ("a", "more-steps-weaker"), ("a", "random-search-stronger"), ("b", "larger-budget-weaker"),
        ("c", "more-tries-weaker"),
    }  # fmt: skip


def test_a_defender_says_how_far_it_got() -> None:
    schema = Schema({"sex": ["female", "male"]})
    log_p = torch.log(torch.tensor([[0.9, 0.1]]))

    def predictor(shown: torch.Tensor) -> torch.Tensor:
        along = shown.flatten(1).sum(1) - 96
        return torch.stack([-along, along], dim=1).log_softmax(1)

    told = Knowledge(schema, (0,), 0, predictor=predictor, log_p=log_p, reference=log_p)
    photo, attack = torch.full((1, 3, 8, 8), 0.5), JointPGD(objective="expected", steps=3)
    before, after = (attack.reached(photo, shown, told) for shown in (photo, attack.perturb(photo, told)))
    assert before is not None
    assert after is not None
    assert float(before) == pytest.approx(-0.5 * float(log_p.sum()))
    assert float(after) > float(before)
    assert Noise().reached(photo, photo, told) is None


def test_a_run_flags_who_is_stuck(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "s.yaml").write_text(
        HEAD + "defenders: [none, {use: noise, epsilon: 0.05}, {use: joint-pgd, epsilon: 0.05, steps: 4},\n"
        "  {use: joint-pgd, epsilon: 0.05, steps: 2, step_size: [0.0001]},\n"
        "  {use: decoy-pgd, norm: 2, epsilon: 0.5, steps: 4}]\n"
        "attackers: [predicted]\nmeasure: {top_k: [1], sizes: [10], resamples: 100, sanity: true}\n"
    )
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    flags = {row.defender: row.flags for row in read(home / "out").rows if row.metric == "success"}
    (stuck,) = (name for name in flags if "step_size" in name)
    assert "random-search-stronger" in flags.pop(stuck)
    assert len(flags) == 4
    assert not any(word in text for text in flags.values() for word in ("more-", "larger-", "random-search"))
