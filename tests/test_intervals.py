"""Intervals over people: against scipy's beta quantiles, at 0 and 100 %, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import coverage
from linkbench.metrics.intervals import DIFFERENCE, SHARE, interval


@pytest.mark.parametrize(("found", "people"), [(0, 40), (3, 40), (20, 40), (102, 102), (1, 300), (299, 300)])
def test_one_photo_each_found_or_not_is_jeffreys(found: int, people: int) -> None:
    values = (np.arange(people) < found).astype(float)[:, None]
    low, high = interval(values, np.arange(people), resamples=40_000, ends=SHARE)[:, 0]
    exact = scipy.stats.beta.ppf([0.025, 0.975], found + 0.5, people - found + 0.5)
    expected = [0.0 if found == 0 else exact[0], 1.0 if found == people else exact[1]]
    spread = scipy.stats.beta.std(found + 0.5, people - found + 0.5)
    assert (low, high) == pytest.approx(expected, abs=0.1 * spread)


def test_all_of_102_is_not_certain() -> None:
    low, high = interval(np.ones((102, 1)), np.arange(102), ends=SHARE)[:, 0]
    assert high == 1.0
    assert 0.970 < low < 0.980
    assert interval(np.zeros((102, 1)), np.arange(102), ends=SHARE)[:, 0].tolist() == pytest.approx(
        [0, 1 - low], abs=0.003
    )


def test_no_difference_seen_is_not_none_at_all() -> None:
    low, high = interval(np.zeros((80, 1)), np.arange(80), ends=DIFFERENCE)[:, 0]
    assert -0.04 < low < -0.01
    assert 0.01 < high < 0.04


def test_two_photos_of_a_person_are_never_separated() -> None:
    """A person's photos cancel exactly, so every resample of people has mean 0; a resample of photos has not."""
    person = np.repeat(np.arange(40), 2)
    values = np.tile([5.0, -5.0], 40)[:, None]
    np.testing.assert_allclose(interval(values, person), 0.0, atol=1e-12)
    low, high = interval(values, np.arange(80))[:, 0]
    assert low < -0.5
    assert high > 0.5


def test_people_with_more_photos_weigh_more() -> None:
    """The mean is over photos: 30 people with 3 photos of value 1, 30 with a single photo of value 0."""
    identity = np.repeat(np.arange(60), [3, 1] * 30)
    values = (identity % 2 == 0).astype(float)[:, None]
    low, high = interval(values, identity, ends=SHARE)[:, 0]
    assert low < 0.75 < high
    assert low > 0.55
    np.testing.assert_allclose(interval(np.array([[1.0], [0.5]]), np.full(2, 3)), 0.75)


def test_columns_share_their_resamples() -> None:
    random = np.random.default_rng(2)
    before, identity = random.random((60, 4)), random.integers(0, 30, 60)
    whole = interval(before, identity, seed=5)
    np.testing.assert_allclose(interval(before + 0.25, identity, seed=5), whole + 0.25, atol=1e-12)
    np.testing.assert_allclose(interval(before[:, :1], identity, seed=5), whole[:, :1], atol=1e-12)
    assert np.ptp(interval((before + 0.25) - before, identity, seed=5)) < 1e-12
    assert not np.allclose(interval(before, identity, seed=6), whole)


def test_weights_of_nothing_leave_photos_out() -> None:
    random = np.random.default_rng(3)
    values, identity = random.random((40, 1)), np.arange(40)
    weights = (np.arange(40) < 39).astype(float)[:, None]
    spoiled = values.copy()
    spoiled[39] = 1e9
    np.testing.assert_array_equal(
        *(interval(table * weights, identity, weights=weights, ends=SHARE) for table in (values, spoiled))
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_mean_and_stay_inside(values: list[float], photos: int, seed: int) -> None:
    table = np.repeat(values, photos)[:, None]
    low, high = interval(table, np.arange(len(table)) // photos, ends=SHARE, seed=seed, resamples=200)[:, 0]
    assert 0.0 <= low <= table.mean() + 1e-12
    assert table.mean() - 1e-12 <= high <= 1.0
    mirrored = interval(1.0 - table, np.arange(len(table)) // photos, ends=SHARE, seed=seed, resamples=4000)[:, 0]
    straight = interval(table, np.arange(len(table)) // photos, ends=SHARE, seed=seed, resamples=4000)[:, 0]
    np.testing.assert_allclose(1.0 - mirrored[::-1], straight, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["0/1", "rank", "several"])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("people", [40, 400])
def test_95_percent_intervals_hold_the_truth_95_times_in_100(kind: str, rate: float, people: int) -> None:
    """Two points for what whole numbers allow, and two for 600 trials; percentiles of resamples reach 32 to 92 %."""
    trials = 600 if kind != "several" else 300
    held, _ = coverage.coverage(kind, people, rate, trials)
    assert 0.91 <= held <= 0.99
    if kind == "rank" and rate == 0.01:
        assert coverage.percentile(kind, people, rate, trials) < held - 0.02
