"""Claims above a threshold in piles that may lack the right genome: exact, against enumeration and simulation."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkbench.api.data import Array, Artefact
from linkbench.metrics import scores as scores_module
from linkbench.metrics.counting import count_ranks, roc_by_score
from linkbench.metrics.open_set import Search, claims, false_claims, precision
from linkbench.metrics.ranking import Ranks, success_curves
from linkbench.metrics.rounds import Claims, Rounds
from linkbench.metrics.rows import open_set_rows
from linkbench.metrics.scores import Scores
from linkbench.metrics.settings import Measure
from linkbench.results.folder import read

SCORES = st.integers(-3, 3).map(float)


class Found(NamedTuple):
    """float64 [S, F] and int64 [S, F, N], see `Rounds`."""

    threshold: Array
    others: Array


def thresholds(scores: Scores, sizes: list[int], rates: list[float]) -> Found:
    known = Rounds(scores, Claims(scores.population, sizes, rates)).all()
    return Found(known["open_threshold"], known["open_others"])


def table(seed: int, photos: int, genomes: int) -> Array:
    """Scores with many ties; the true genome of photo i is genome i."""
    return np.random.default_rng(seed).integers(-3, 4, (photos, genomes)).astype(float)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(2, 4), st.integers(5, 7), st.integers(1, 4), st.sampled_from([0.05, 0.3, 0.7])
)
def test_against_every_pile_there_is(seed: int, photos: int, genomes: int, n: int, rate: float) -> None:
    scores = table(seed, photos, genomes)
    found = thresholds(Scores.dense(scores, np.arange(photos)), [n], [rate])
    true = scores[np.arange(photos), np.arange(photos)]
    others = [[g for g in range(genomes) if g != photo] for photo in range(photos)]

    def fpir(threshold: float) -> float:
        shares = [
            np.mean([max(scores[photo, list(pile)]) >= threshold for pile in itertools.combinations(others[photo], n)])
            for photo in range(photos)
        ]
        return float(np.mean(shares))

    kept = [threshold for threshold in np.unique(true) if fpir(threshold) <= rate + 1e-12]
    threshold = found.threshold[0, 0]
    assert threshold == (min(kept) if kept else np.inf)
    ranks = count_ranks(Scores.dense(scores, np.arange(photos)))
    told = claims(
        true, threshold, found.others[0, 0], genomes, np.array(n), success_curves(ranks, genomes, [1], [n])[0, 0]
    )
    for photo in range(photos):
        right, made = [], []
        for rest in itertools.combinations(others[photo], n - 1):
            most = max(scores[photo, list(rest)], default=-np.inf)
            tied = sum(scores[photo, other] == true[photo] for other in rest) + 1
            best = true[photo] >= most
            right.append(best * (true[photo] >= threshold) / tied)
            made.append(max(most, true[photo]) >= threshold)
        assert told[photo, 0] == pytest.approx(np.mean(right))
        assert told[photo, 1] == pytest.approx(np.mean(made))
    if np.isfinite(threshold):
        assert told[:, 2].mean() == pytest.approx(fpir(threshold))


@given(st.integers(0, 10**6), st.sampled_from([0.001, 0.01, 0.2]))
@settings(max_examples=30, deadline=None)
def test_rates_are_kept_and_larger_piles_are_harder(seed: int, rate: float) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(size=(30, 400))
    scores[np.arange(30), np.arange(30)] += 2.5
    found = thresholds(Scores.dense(scores, np.arange(30)), [1, 10, 100, 399], [rate])
    assert found.threshold[:, 0].tolist() == sorted(found.threshold[:, 0])
    for at, n in enumerate([1, 10, 100, 399]):
        assert false_claims(found.others[at, 0], 400, n).mean() <= rate + 1e-12


def test_a_threshold_below_all_scores_gives_the_closed_set() -> None:
    scores = table(3, 5, 30)
    ranks = count_ranks(Scores.dense(scores, np.arange(5)))
    success = success_curves(ranks, 30, [1], [10])[0, 0]
    told = claims(scores[np.arange(5), np.arange(5)], np.array(-10.0), np.full(5, 29), 30, np.array(10), success)
    np.testing.assert_allclose(told, np.stack([success, np.ones(5), np.ones(5)], axis=1))
    assert precision(told.mean(axis=0), 1.0) == pytest.approx(success.mean())
    assert precision(told.mean(axis=0), 0.25) == pytest.approx(success.mean() / 4)
    assert precision(np.zeros(3), 0.5) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_two_rounds_find_the_lowest_threshold_that_keeps_a_rate(seed: int, count: int, wanted: list[float]) -> None:
    """Rates that fall as thresholds rise, in steps and with ties; above all thresholds there are no false claims."""
    falling = np.sort(np.random.default_rng(seed).choice(np.linspace(0, 1, 9), count))[::-1]
    fpir = np.append(falling, 0.0)
    search = Search.begin(count, [5], wanted)
    for _ in range(2):
        numbers = search.numbers()
        assert numbers.shape[1] <= math.isqrt(count) + 1
        search = search.narrowed(numbers, fpir[numbers])
    assert search.low.tolist() == search.high.tolist()
    assert search.low.tolist() == [int(np.flatnonzero(fpir <= rate + 1e-12)[0]) for rate in wanted]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.booleans(), st.data())
def test_rows_gone_through_apart_and_in_any_order_give_the_same_bytes(
    seed: int, rows: int, weighted: bool, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(size=(12, 40)).round(random.integers(0, 4))
    row, column = random.integers(0, 12, 30), random.integers(0, 40, 30)
    weight = random.integers(1, 4, 40).astype(float) if weighted else None
    given_ = Scores(lambda a, b: scores[a, b], row, column, 12, 40, weight)
    rounds = Rounds(
        given_,
        Claims(given_.population, [3, 20], [0.05, 0.4]),
        lambda photos, band: {"alike": photos[:, None] * [1, 2]},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "ROWS", rows)
        whole = rounds.all()
        known: dict[str, Array] = {}
        cuts = sorted({0, *(cut * rows for cut in data.draw(st.lists(st.integers(1, 12))) if cut * rows < 12), 12})
        for one in range(rounds.claims.rounds):
            parts = [rounds.look(one, known, *cut) for cut in itertools.pairwise(cuts)]
            together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            known = rounds.claims.settled(one, together, known)
    assert {name: array.tobytes() for name, array in known.items()} == {
        name: array.tobytes() for name, array in whole.items()
    }
    ranks = count_ranks(given_)
    np.testing.assert_array_equal(whole["better"], ranks.better)
    np.testing.assert_array_equal(whole["auc_parts"], roc_by_score(given_).parts)
    for at, rate in itertools.product(range(2), range(2)):
        reached = scores[row] >= whole["open_threshold"][at, rate] - 1e-9
        others = (reached * (1 if weight is None else weight)).sum(axis=1) - reached[np.arange(30), column]
        assert whole["open_others"][at, rate].tolist() == others.tolist()


def test_many_photos_take_little_memory() -> None:
    """16,000 photos, each with a threshold of its own: their counts between thresholds would be 2 GB at one byte."""
    random = np.random.default_rng(0)
    near, genomes = random.normal(size=(16_000, 3)), random.normal(size=(300, 3))
    truth = random.integers(0, 300, 16_000)
    scores = Scores(lambda a, b: near[a] @ genomes[b].T, np.arange(16_000), truth, 16_000, 300)
    tracemalloc.start()
    try:
        known = Rounds(scores, Claims(300, [10], [0.01])).all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150e6
    some = random.choice(16_000, 50, replace=False)
    own = (near[some] * genomes[truth[some]]).sum(axis=1)
    dense = near[some] @ genomes.T
    assert known["better"][some].tolist() == ((dense > own[:, None] + 1e-9).sum(axis=1)).tolist()
    others = (dense >= known["open_threshold"][0, 0] - 1e-9).sum(axis=1) - (own >= known["open_threshold"][0, 0])
    assert known["open_others"][0, 0][some].tolist() == others.tolist()


def test_rows_say_what_is_missed_and_how_precise_claims_are() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(40, 500))
    scores[np.arange(40), np.arange(40)] += 3.0
    dense = Scores.dense(scores, np.arange(40))
    ranks, found = count_ranks(dense), thresholds(dense, [10, 100], [0.01, 1e-9])
    rank = Artefact(
        {"identity": np.arange(40) // 2, "better": ranks.better, "tied": ranks.tied, "score": scores.diagonal().copy(),
         "open_sizes": np.array([10, 100]), "open_fpir": np.array([0.01, 1e-9]), "open_threshold": found.threshold,
         "open_others": found.others},
        {"population": 500},
    )  # fmt: skip
    settings_ = Measure(top_k=[1, 5], sizes=[10, 100], resamples=100)
    rows = {(row["metric"], row["k"], row["n"]): row for row in open_set_rows(rank, settings_, 0)}
    assert {metric for metric, _, _ in rows} >= {"fnir:0.01", "fnir:1e-09", "precision:0.01,0.5", "precision:0.01,0.01"}
    assert rows["fnir:0.01", 1, 10]["value"] < rows["fnir:0.01", 1, 100]["value"] <= rows["fnir:1e-09", 1, 100]["value"]
    assert rows["fnir:0.01", 5, 10]["value"] <= rows["fnir:0.01", 1, 10]["value"]
    assert rows["precision:0.01,0.01", 1, 10]["value"] < rows["precision:0.01,0.5", 1, 10]["value"]
    assert all(row["ci_low"] <= row["value"] <= row["ci_high"] for row in rows.values())
    assert open_set_rows(Artefact({}, {}), settings_, 0) == []
    claimed = scores.diagonal() >= found.threshold[0, 0]
    expected = 1 - (claimed * success_curves(Ranks(ranks.better, ranks.tied), 500, [1], [10])[0, 0]).mean()
    assert rows["fnir:0.01", 1, 10]["value"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("measure: {fpir: [0]}\n", "measure.fpir[0]: must be greater than 0"),
        ("measure: {fpir: []}\n", "measure.fpir: list must have at least 1 item"),
        ("measure: {prior: [1.5]}\n", "measure.prior[0]: must be less than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(home: Path, run_cli: Callable[..., Any], text: str, says: str) -> None:
    (home / "s.yaml").write_text("linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\n" + text)
    found = run_cli("validate", home / "s.yaml")
    assert found.status == 2
    assert says in found.err


def test_a_run_has_claims_in_its_table_and_its_page(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "s.yaml").write_text(
        "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\n"
        "attackers: [predicted, assignment, random]\nmeasure: {top_k: [1], sizes: [10, 100, all], resamples: 100}\n"
    )
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    rows = read(home / "out").rows
    missed = {(row.attacker, row.n): row.value for row in rows if row.metric == "fnir:0.01"}
    assert set(missed) == {("predicted", 10), ("predicted", 100)}
    for n in (10, 100):
        success = next(r.value for r in rows if (r.attacker, r.metric, r.k, r.n) == ("predicted", "success", 1, n))
        assert 1 - success <= missed["predicted", n] <= 1
    assert "Only when sure" in (home / "out/report.html").read_text()
