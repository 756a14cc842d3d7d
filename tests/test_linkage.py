"""Ranks, success curves and ROC against brute force, textbook formulas, simulation and exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from linkbench.metrics import ranking, scores
from linkbench.metrics.counting import count_ranks, roc_by_score
from linkbench.metrics.ranking import Ranks, expected_success, reciprocal_rank
from linkbench.metrics.scores import TIE, Scores

JITTER = 4e-10
"""Below TIE: scores that differ by so little are the same."""


class Case(NamedTuple):
    """Grouped scores and the same without any grouping."""

    scores: Scores
    dense: np.ndarray[Any, Any]
    truth: np.ndarray[Any, Any]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Tables with many ties, photos that share rows, genomes that share columns, some rows that nobody uses."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    values = st.sampled_from([-7.0, -1.5, 0.0, 0.1, 0.1 + JITTER, 0.1 - JITTER, 2.0, 2.0 + JITTER, 1e6])
    table = np.array(draw(st.lists(values, min_size=rows * columns, max_size=rows * columns))).reshape(rows, columns)
    photos = draw(st.integers(1, 8))
    row = np.array(draw(st.lists(st.integers(0, rows - 1), min_size=photos, max_size=photos)))
    column = np.array(draw(st.lists(st.integers(0, columns - 1), min_size=photos, max_size=photos)))
    counts = np.array(draw(st.lists(st.integers(1, 4), min_size=columns, max_size=columns)))
    weighted = draw(st.booleans())
    repeats = counts if weighted else np.ones(columns, dtype=int)
    scores = Scores(lambda a, b: table[a, b], row, column, rows, columns, counts.astype(float) if weighted else None)
    first = np.concatenate([[0], repeats.cumsum()[:-1]])
    return Case(scores, np.repeat(table, repeats, axis=1)[row], first[column])


def brute_ranks(dense: Any, truth: Any) -> tuple[list[int], list[int]]:
    own = dense[np.arange(len(dense)), truth][:, None]
    same = np.abs(dense - own) <= TIE
    return ((dense > own) & ~same).sum(axis=1).tolist(), (same.sum(axis=1) - 1).tolist()


@settings(max_examples=50)
@given(case=cases(), block=st.integers(1, 40), rows=st.integers(1, 5))
def test_grouped_blocked_weighted_ranks_equal_brute_force(case: Case, block: int, rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "BLOCK", block)
        patch.setattr(scores, "ROWS", rows)
        assert case.scores.population == case.dense.shape[1]
        assert case.scores.of_truth().tolist() == case.dense[np.arange(len(case.dense)), case.truth].tolist()
        better, tied = count_ranks(case.scores)
    assert (better.tolist(), tied.tolist()) == brute_ranks(case.dense, case.truth)


@pytest.mark.parametrize("photos", [3, 900])
def test_ranks_of_many_different_scores(photos: int) -> None:
    """Scores on every scale, so that look-up tables have crowded and empty bins."""
    random = np.random.default_rng(0)
    table = random.standard_normal((3, 4000)) * 10.0 ** random.integers(-12, 6, (3, 4000))
    row, column = random.integers(0, 3, photos), random.integers(0, 4000, photos)
    better, tied = count_ranks(Scores(lambda a, b: table[a, b], row, column, 3, 4000))
    assert (better.tolist(), tied.tolist()) == brute_ranks(table[row], column)


def test_ranks_do_not_depend_on_the_order_of_genomes() -> None:
    random = np.random.default_rng(1)
    table, truth = random.integers(0, 5, (30, 50)) / 7.0, random.integers(0, 50, 30)
    order = random.permutation(50)
    shuffled = count_ranks(Scores.dense(table[:, order], np.argsort(order)[truth]))
    for one, other in zip(count_ranks(Scores.dense(table, truth)), shuffled, strict=True):
        assert one.tolist() == other.tolist()


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int]:
    """Population M, better g and tied t of one photo, g + t < M."""
    population = draw(st.integers(1, 60))
    better = draw(st.integers(0, population - 1))
    return population, better, draw(st.integers(0, population - 1 - better))


def curve(population: int, better: int, tied: int, k: int, sizes: Any) -> np.ndarray[Any, Any]:
    return expected_success(Ranks(np.array([better]), np.array([tied])), population, k, np.asarray(sizes))[:, 0]


@given(place=places(), k=st.integers(1, 8))
def test_success_equals_the_textbook_sum(place: tuple[int, int, int], k: int) -> None:
    population, better, tied = place
    assume(population > 1)  # scipy knows no population of nobody
    sizes, above = np.arange(1, population + 1), better + np.arange(tied + 1)
    textbook = hypergeom.cdf(k - 1, population - 1, above[None, :], sizes[:, None] - 1).mean(axis=1)
    np.testing.assert_allclose(curve(*place, k, sizes), textbook, rtol=1e-10, atol=1e-12)


ROUNDING = 1e-10
"""What the closed form may lose to rounding."""


@settings(max_examples=50)
@given(place=places(), k=st.integers(1, 8))
def test_success_falls_with_the_population_and_rises_with_k(place: tuple[int, int, int], k: int) -> None:
    sizes = np.arange(1, place[0] + 1)
    values = curve(*place, k, sizes)
    assert np.all(np.diff(values) <= ROUNDING)
    assert np.all(curve(*place, k + 1, sizes) >= values - ROUNDING)
    assert np.all((values >= 0) & (values <= 1))


@settings(max_examples=15, derandomize=True)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), size=st.integers(2, 15))
def test_success_equals_simulation(seed: int, k: int, size: int) -> None:
    """Draw populations of `size` that hold the true genome, order them by score, ties in random order."""
    random = np.random.default_rng(seed)
    table, truth = random.integers(0, 4, (3, 15)).astype(float), random.integers(0, 15, 3)
    exact = expected_success(count_ranks(Scores.dense(table, truth)), 15, k, np.array([size]))[0]
    draws = 4000
    for photo in range(3):
        lot = random.random((draws, 15))
        lot[:, truth[photo]] = -1.0  # the true genome is always drawn
        drawn = np.argsort(lot, axis=1)[:, :size]
        scores = table[photo][drawn] + random.random((draws, size)) * 1e-3
        own = scores[drawn == truth[photo]][:, None]
        simulated = float(((scores > own).sum(axis=1) < k).mean())
        tolerance = 5 * np.sqrt(max(exact[photo] * (1 - exact[photo]), 1 / draws) / draws)
        assert simulated == pytest.approx(exact[photo], abs=tolerance)


@pytest.mark.parametrize(
    ("population", "better", "tied", "k", "size", "expected"),
    [
        (50, 0, 49, 1, 10, 1 / 10),  # all the same: k/n
        (50, 0, 49, 3, 10, 3 / 10),
        (50, 0, 49, 3, 2, 1.0),  # k above n
        (50, 49, 0, 1, 1, 1.0),  # alone
        (50, 49, 0, 5, 5, 1.0),  # k = n
        (50, 49, 0, 4, 5, 0.0),  # last of all
        (50, 4, 0, 5, 50, 1.0),  # n = M: rank 5 is among the first 5
        (50, 5, 0, 5, 50, 0.0),
        (50, 4, 1, 5, 50, 1 / 2),  # ranks 5 and 6 are shared
        (50, 0, 0, 1, 50, 1.0),
        (1, 0, 0, 1, 1, 1.0),
    ],
)
def test_success_where_it_is_known(population: int, better: int, tied: int, k: int, size: int, expected: float) -> None:
    assert curve(population, better, tied, k, [size])[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", [[0], [11], [5, -1]])
def test_impossible_sizes_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"must lie in 1\.\.10"):
        curve(10, 0, 0, 1, sizes)


def exact_success(population: int, better: int, tied: int, k: int, size: int) -> Fraction:
    """The textbook sum in fractions; the smaller of `above` and `size` is drawn, which is the same distribution."""
    total = Fraction(0)
    for above in range(better, better + tied + 1):
        few, many = sorted((above, size - 1))
        ways = sum(comb(many, x) * comb(population - 1 - many, few - x) for x in range(min(k, few + 1)))
        total += Fraction(ways, comb(population - 1, few))
    return total / (tied + 1)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(
    ("better", "tied", "size"),
    [
        (0, 0, 2), (0, 20, 10_000_000), (1, 0, 5_000_000), (3, 5, 9_999_990), (40, 7, 100_000), (5_000_000, 3, 10),
        (123_456, 0, 100), (9_999_000, 20, 300), (9_999_999, 0, 2), (700, 2, 1_234_567),
    ],
)  # fmt: skip
def test_success_in_ten_million_equals_exact_fractions(better: int, tied: int, size: int, k: int) -> None:
    exact = float(exact_success(10_000_000, better, tied, k, size))
    assert curve(10_000_000, better, tied, k, [size])[0] == pytest.approx(exact, rel=1e-9, abs=2e-8)


@given(place=places())
def test_reciprocal_rank_is_the_mean_over_the_tied_places(place: tuple[int, int, int]) -> None:
    _, better, tied = place
    exact = sum(Fraction(1, better + 1 + u) for u in range(tied + 1)) / (tied + 1)
    ranks = Ranks(np.array([better]), np.array([tied]))
    assert reciprocal_rank(ranks)[0] == pytest.approx(float(exact), rel=1e-12)
    assert ranks.expected[0] == better + 1 + tied / 2


@settings(max_examples=40)
@given(case=cases())
def test_roc_by_k_equals_brute_force(case: Case) -> None:
    ranks, population = count_ranks(case.scores), case.dense.shape[1]
    roc = ranking.roc_by_k(ranks, population)
    others = max(population - 1, 1)
    for k in range(population + 1):
        success = np.clip((k - ranks.better) / (ranks.tied + 1.0), 0, 1).mean()
        assert roc.true[k] == pytest.approx(success, abs=1e-12)
        assert roc.false[k] == pytest.approx((k - success) / others, abs=1e-12)
    if population > 1:
        assert np.trapezoid(roc.true, roc.false) == pytest.approx(roc.auc, abs=1e-12)
    assert roc.parts.mean() == pytest.approx(roc.auc, abs=1e-12)


@settings(max_examples=50)
@given(case=cases(), block=st.integers(1, 40), rows=st.integers(1, 5))
def test_roc_by_score_equals_brute_force(case: Case, block: int, rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "BLOCK", block)
        patch.setattr(scores, "ROWS", rows)
        roc = roc_by_score(case.scores)
    dense, truth = case.dense, case.truth
    photos, population = dense.shape
    if population == 1:
        return
    own = dense[np.arange(photos), truth]
    wrong = np.ones(dense.shape, dtype=bool)
    wrong[np.arange(photos), truth] = False
    gap = own[:, None, None] - dense[None]  # [true pair, photo, genome]
    wins = np.where(np.abs(gap) <= TIE, 0.5, gap > 0) * wrong
    pairs = photos * (population - 1)
    assert roc.auc == pytest.approx(wins.sum() / (photos * pairs), abs=1e-9)
    # DeLong's terms: how a photo's true pair fares among all wrong pairs, and its wrong pairs among all true pairs
    parts = wins.sum(axis=(1, 2)) / pairs + wins.sum(axis=(0, 2)) / pairs - roc.auc
    np.testing.assert_allclose(roc.parts, parts, atol=1e-9)
    assert roc.parts.mean() == pytest.approx(roc.auc, abs=1e-9)
    for threshold, false, true in zip(sorted(set(own), reverse=True), roc.false[1:], roc.true[1:], strict=False):
        assert false == pytest.approx((wrong & (dense >= threshold - TIE)).sum() / pairs)
        assert true == pytest.approx((own >= threshold).mean())


ISSUE = {
    ("realistic", "predicted"): (0.2397, 0.0259, 0.8353, 0.1297, 0.7277),
    ("realistic", "ground-truth"): (0.4369, 0.0830, 0.9345, 0.3137, 0.8254),
    ("ideal", "predicted"): (0.2719, 0.0453, 0.8298, 0.1690, 0.7358),
    ("ideal", "ground-truth"): (0.6413, 0.1701, 0.9910, 0.5424, 0.8850),
}
"""success@1 at n = 10 and 100, success@5 at n = 10 and 100, AUC by score."""


@pytest.mark.parametrize(("setting", "attacker"), ISSUE)
def test_the_papers_matching_in_expectation(paper_rows: Any, setting: str, attacker: str) -> None:
    rows = paper_rows[(setting, attacker)]
    wanted = [("success", k, n) for k in (1, 5) for n in (10, 100)] + [("auc_score", None, None)]
    assert tuple(round(rows[key].value, 4) for key in wanted) == ISSUE[(setting, attacker)]
    for key in wanted:
        assert rows[key].ci_low < rows[key].value < rows[key].ci_high


def test_random_is_k_of_n(paper_rows: Any) -> None:
    for (metric, k, n), row in paper_rows[("realistic", "random")].items():
        if metric == "success":
            assert (row.value, row.ci_low, row.ci_high) == pytest.approx((k / n,) * 3, abs=1e-12)
