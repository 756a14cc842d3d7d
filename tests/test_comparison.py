"""Paired tests, Holm's correction and power: against scipy, statsmodels' definition, and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import coverage
from linkbench.metrics.comparison import (
    all_pairs,
    by_person,
    holm,
    p_values,
    people_needed,
    smallest_difference,
)


@pytest.mark.parametrize(("better", "worse"), [(1, 0), (5, 0), (6, 1), (9, 3), (30, 12), (40, 0), (300, 240)])
def test_found_or_not_is_mcnemars_exact_test(better: int, worse: int) -> None:
    differences = np.concatenate([np.ones(better), -np.ones(worse), np.zeros(70)])[:, None]
    exact = min(1.0, 2.0 * scipy.stats.binom.sf(better - 1, better + worse, 0.5))
    assert p_values(differences)[0] == pytest.approx(exact, rel=0.06)
    assert p_values(-differences)[0] == pytest.approx(p_values(differences)[0])


@pytest.mark.slow
def test_the_tail_is_that_of_random_weights() -> None:
    random = np.random.default_rng(0)
    differences = random.random(50) * 0.4 - 0.12
    weights = random.standard_exponential((400_000, 51))
    simulated = (weights @ np.append(differences, -1.0) <= 0.0).mean()
    assert p_values(differences[:, None])[0] == pytest.approx(2.0 * simulated, rel=0.04)


@pytest.mark.parametrize(("found", "people", "guess"), [(5, 80, 0.01), (30, 200, 0.1), (0, 500, 0.01), (97, 100, 0.9)])
def test_a_share_against_a_guess_is_the_exact_binomial_test(found: int, people: int, guess: float) -> None:
    excess = (np.arange(people) < found) - guess
    tail = scipy.stats.binom.sf(found - 1, people, guess) if found > guess * people else (
        scipy.stats.binom.cdf(found, people, guess)
    )  # fmt: skip
    assert p_values(excess[:, None], (-guess, 1.0 - guess))[0] == pytest.approx(min(1.0, 2.0 * tail), rel=0.06)


def test_nothing_changed_is_no_finding() -> None:
    assert p_values(np.zeros((500, 1)))[0] == 1.0
    assert p_values(np.full((1, 1), 0.3))[0] == 1.0
    assert p_values(np.zeros((5, 0))).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=80, deadline=None)
def test_holm_is_its_definition(p: list[float]) -> None:
    found = holm(np.array(p))
    order = sorted(range(len(p)), key=lambda at: p[at])
    highest = 0.0
    for place, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - place) * p[at]))
        assert found[at] == pytest.approx(highest)


def test_people_count_once_however_many_photos() -> None:
    identity = np.repeat(np.arange(30), 4)
    values = np.random.default_rng(1).random((30, 2))
    once, often = by_person(values, np.arange(30)), by_person(values[identity], identity)
    np.testing.assert_allclose(once, often)
    weights = np.where(np.arange(120)[:, None] % 4 == 0, 1.0, 0.0)
    np.testing.assert_allclose(once, by_person(values[identity], identity, np.repeat(weights, 2, axis=1)))
    assert by_person(values[identity], identity).mean(axis=0) == pytest.approx(values.mean(axis=0))


def test_all_pairs_and_their_families() -> None:
    values = np.random.default_rng(2).random((200, 5)) ** [1, 1, 1, 2, 4]
    pairs = all_pairs(values)
    for one, two in itertools.combinations(range(5), 2):
        difference = values[:, one] - values[:, two]
        assert pairs.difference[one, two] == pytest.approx(difference.mean()) == -pairs.difference[two, one]
        assert pairs.deviation[one, two] == pytest.approx(difference.std(ddof=1))
        assert pairs.p[one, two] == pairs.p[two, one] == pytest.approx(p_values(difference[:, None])[0])
    family = np.zeros((5, 5), dtype=bool)
    family[0, 3] = family[4, 0] = True
    adjusted = pairs.adjusted(family)
    assert adjusted[0, 3] == pytest.approx(min(1.0, max(pairs.p[0, 3], 2 * pairs.p[0, 4])))
    assert adjusted[1, 2] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["0/1", "rank", "other shape"])
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.9])
def test_equals_are_called_different_in_5_of_100_at_most(kind: str, rate: float) -> None:
    for people in (40, 200):
        p = p_values(coverage.pair(kind, people, (rate, rate), 1500))
        assert (p <= 0.05).mean() <= 0.065  # 5 % and the error of 1500 trials
        assert (p <= 0.005).mean() <= 0.01


def test_changing_signs_would_err() -> None:
    """Why that test is not used: it takes one shape for another level."""
    assert (coverage.flips(coverage.pair("other shape", 40, (0.02, 0.02), 500)) <= 0.05).mean() > 0.3


@pytest.mark.parametrize(("kind", "rates", "error"), [("rank", (0.1, 0.03), 0.05), ("0/1", (0.3, 0.2), 0.0005)])
def test_as_many_people_as_needed_tell(kind: str, rates: tuple[float, float], error: float) -> None:
    large = coverage.pair(kind, 100_000, rates, 1)
    needed = people_needed(float(large.mean()), float(large.std()), error)
    assert needed is not None
    for people, low, high in ((needed, 0.74, 0.9), (needed // 3, 0.0, 0.4)):
        told = (p_values(coverage.pair(kind, people, rates, 600, seed=1)) <= error).mean()
        assert low <= told <= high
    assert smallest_difference(needed, float(large.std()), error) == pytest.approx(abs(float(large.mean())), rel=0.02)


def test_no_number_of_people_tells_equals() -> None:
    assert people_needed(0.0, 0.3, 0.05) is None
    assert people_needed(1.0, 0.0, 0.05) is not None
    assert people_needed(0.01, 0.1, 0.01) > people_needed(0.01, 0.1, 0.05) > people_needed(0.02, 0.1, 0.05)  # type: ignore[operator]


def test_nobody_is_first_among_21_equals() -> None:
    random = np.random.default_rng(5)
    assert sum(coverage.somebody_is_first(coverage.identical_board(random)) for _ in range(100)) <= 5


def test_whoever_is_better_is_first() -> None:
    values = np.column_stack([coverage.identical_board(np.random.default_rng(6), people=600), np.zeros(600)])
    assert coverage.somebody_is_first(values)
