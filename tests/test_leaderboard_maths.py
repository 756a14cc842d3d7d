"""The mathematics of the leaderboard: the game, the front, ranks, and the arrays that entries carry."""

from __future__ import annotations

import base64
import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from linkbench.api.budget import Budget
from linkbench.leaderboard import game, packed_arrays, photos, text
from linkbench.leaderboard.board import Opponent, Played, Standing, Standings
from linkbench.leaderboard.protocol import Data, Metrics, Opponents, Protocol, Rules, Source, model_keys
from linkbench.leaderboard.ranking import kendall, pareto, rank
from linkbench.metrics import ranking

PAYOFFS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 20).map(lambda share: share / 20))
)


@settings(max_examples=12)
@given(PAYOFFS)
def test_nobody_gains_by_leaving_the_equilibrium(payoff: np.ndarray) -> None:
    found = game.solve(payoff)
    for mixture in (found.defenders, found.attackers):
        assert mixture.min() >= 0
        assert mixture.sum() == pytest.approx(1.0)
    assert (found.defenders @ payoff).max() == pytest.approx(found.value, abs=1e-6)
    assert (payoff @ found.attackers).min() == pytest.approx(found.value, abs=1e-6)
    assert payoff.min(axis=0).max() - 1e-6 <= found.value <= payoff.max(axis=1).min() + 1e-6


def test_games_with_known_solutions() -> None:
    rock_paper_scissors = np.array([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])
    found = game.solve(rock_paper_scissors)
    assert found.value == pytest.approx(0.5)
    assert found.defenders == pytest.approx([1 / 3] * 3, abs=1e-6)
    a, b, c, d = 0.9, 0.2, 0.3, 0.6  # two by two without a saddle point: (ad - bc) / (a + d - b - c)
    found = game.solve(np.array([[a, b], [c, d]]))
    assert found.value == pytest.approx((a * d - b * c) / (a + d - b - c))
    assert found.defenders == pytest.approx([0.3, 0.7], abs=1e-6)
    assert found.attackers == pytest.approx([0.4, 0.6], abs=1e-6)


def test_of_several_equilibria_the_one_that_keeps_photos_alike_is_shown() -> None:
    payoff = np.array([[0.1, 0.1], [0.1, 0.1], [0.4, 0.0]])
    assert game.solve(payoff, np.array([0.7, 0.9, 1.0])).defenders == pytest.approx([0.0, 1.0, 0.0], abs=1e-5)


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@settings(max_examples=50)
@given(POINTS)
def test_the_front_holds_what_nothing_beats(found: list[tuple[int, int]]) -> None:
    named = [(str(place), x / 6, y / 6) for place, (x, y) in enumerate(found)]
    front = pareto([*named, ("unmeasured", None, 0.0)])
    beaten = {key for key, x, y in named if any((a >= x and b <= y) and (a, b) != (x, y) for _, a, b in named)}
    assert front == {key for key, _, _ in named} - beaten


WHOLE = arrays(np.int64, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.integers(0, (1 << 32) - 1))


@pytest.mark.slow
@settings(max_examples=15)
@given(st.dictionaries(st.text(max_size=8), WHOLE, max_size=4))
def test_arrays_come_back(found: dict[str, np.ndarray]) -> None:
    text = packed_arrays.pack(found)
    back = packed_arrays.unpack(text)
    assert list(back) == list(found)
    assert all(np.array_equal(back[name], array) and back[name].shape == array.shape for name, array in found.items())
    assert packed_arrays.pack(back) == text


def _blob(content: bytes) -> str:
    return base64.b64encode(lzma.compress(content)).decode()


@pytest.mark.parametrize(
    "text",
    ["", "%%%", "AAAA", _blob(b"[]")[:-8], _blob(b"no json\n"), _blob(b'[["a", "<f8", [1]]]\n12345678'),
     _blob(b'[["a", "|u1", [9]]]\n1'), _blob(b'[["a", "|u1", [-1]]]\n1'), _blob(b'{"a": 1}\n'), _blob(b'[[1]]\n'),
     _blob(b'[["a", "|u1", [4294967296, 4294967296]]]\n')],
)  # fmt: skip
def test_damaged_arrays_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        packed_arrays.unpack(text)


def test_a_blob_that_unfolds_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_arrays, "LARGEST", 1000)
    with pytest.raises(ValueError, match="unfolds to more"):
        packed_arrays.unpack(_blob(b"\0" * 1_000_000))


def test_photos_give_the_numbers_of_the_results() -> None:
    random = np.random.default_rng(1)
    better, tied = random.integers(0, 150, 40), random.integers(0, 50, 40)
    people = np.repeat(np.arange(20), 2)
    rules = Metrics(k=1, n=100, resamples=200, level=0.9)
    cell = photos.CellPhotos(people, better, tied)
    exact = ranking.expected_success(ranking.Ranks(better, tied), 200, 1, [100])[0]
    assert np.array_equal(cell.success(rules, 200), exact)
    assert cell.auc(200).mean() == pytest.approx(ranking.roc_by_k(ranking.Ranks(better, tied), 200).auc)
    [(value, low, high)] = photos.intervals([exact], people, rules, 3)
    assert low <= value <= high
    assert value == pytest.approx(exact.mean(), abs=1e-6)
    drawn = cell._replace(hits=np.full(40, photos.HIT), draws=np.full(40, 4))
    assert drawn.success(rules, 200) == pytest.approx(np.full(40, 0.25))


def _data(**changed: object) -> Data:
    parts: dict[str, object] = {
        "cohort": Source(use="rendered", params={"count": 5}),
        "genomes": "ab" * 8,
        "population": 503,
        "people": {"0": "cd" * 8},
        "look": {"0": [0.25, 0.5]},
    }
    return Data.model_validate({**parts, **changed})


def _protocol(**changed: object) -> Protocol:
    parts: dict[str, object] = {
        "version": 2,
        "data": _data(),
        "split": {"test": 0.4, "validation": 0.1},
        "opponents": Opponents(models={"m": "11" * 8}, attackers={"a": "22" * 8, "b": "33" * 8}),
        "codes": {"attacker/predicted": "ee" * 8},
        "metrics": Metrics(k=1, n=100, resamples=1000, level=0.95),
        "rules": Rules(),
    }
    return Protocol.model_validate({**parts, **changed})


def test_the_protocol_digest_covers_what_must_be_equal_and_no_label() -> None:
    first = _protocol()
    renamed = _protocol(opponents=Opponents(models={"x": "11" * 8}, attackers={"b": "22" * 8, "a": "33" * 8}))
    assert renamed.digest() == first.digest()
    others = [
        _protocol(opponents=Opponents(models={"m": "11" * 8}, attackers={"a": "22" * 8})),
        _protocol(data=_data(genomes="ac" * 8)),
        _protocol(data=_data(population=502)),
        _protocol(data=_data(people={"1": "cd" * 8})),
        _protocol(data=_data(people={"0": "ce" * 8})),
        _protocol(data=_data(cohort=Source(use="rendered", params={"count": 6}))),
        _protocol(codes={"attacker/predicted": "ef" * 8}),
        _protocol(rules=Rules(least_ssim=0.0)),
        _protocol(rules=Rules(budgets=[1.0])),
        _protocol(rules=Rules(name="rendered-v1")),
        _protocol(split={"test": 0.5, "validation": 0.1}),
        _protocol(metrics=Metrics(k=1, n=100, resamples=500, level=0.95)),
        _protocol(version=3),
    ]
    assert len({one.digest() for one in [first, *others]}) == 1 + len(others)
    more = _protocol(opponents=Opponents(models={"m": "11" * 8, "n": "44" * 8}, attackers=first.opponents.attackers))
    assert first.admits(more)
    assert not more.admits(first)
    assert others[0].admits(first)  # it asks for less
    assert not any(other.admits(first) for other in others[1:])


def test_photos_that_another_machine_rounds_otherwise_join_and_other_photos_do_not() -> None:
    first = _protocol()
    rounded = _protocol(data=_data(look={"0": [0.2505, 0.4999]}))
    assert rounded.digest() == first.digest()
    assert first.admits(rounded)
    other = _protocol(data=_data(look={"0": [0.35, 0.5]}))
    assert first.differences(other) == ["the photos look different by more than rounding"]
    assert first.admits(_protocol(data=_data(look={})))


def test_models_differ_by_what_they_start_from() -> None:
    def model(name: str, epochs: int, start: str | None) -> dict[str, object]:
        plain = {"kind": "architecture", "name": "small-cnn", "params": {}, "label": "x"}
        recipe = {"kind": "recipe", "name": "standard", "params": {"epochs": epochs}, "label": "y"}
        return {"name": name, "architecture": plain, "recipe": recipe, "start": start}

    keys = model_keys([model("a", 1, None), model("b", 1, "a"), model("c", 1, None), model("d", 2, None)])
    assert keys["a"] == keys["c"]
    assert len(set(keys.values())) == 3


def standings(better: dict[str, np.ndarray], seeds: int = 1) -> Standings:
    """A table of one opponent, by row the ranks int64 [n] that it left the true genomes of one photo a person."""
    rules = _protocol(
        data=_data(people={str(seed): "0" * 8 for seed in range(seeds)}),
        opponents=Opponents(models={"m": "0" * 8}, attackers={"a": "1" * 8}),
        metrics=Metrics(k=1, n=100, resamples=200, level=0.95),
    )
    who = Opponent("0" * 8, "1" * 8, "m", "a")
    rows = []
    for name, ranks in better.items():
        cell = photos.CellPhotos(np.arange(len(ranks)), ranks, np.zeros(len(ranks), np.int64))
        number = (float(cell.success(rules.metrics, 503).mean()), 0.0, 1.0)
        played = Played(dict.fromkeys(range(seeds), number), dict.fromkeys(range(seeds), (0.5, 0.4, 0.6)),
                        dict.fromkeys(range(seeds), cell))  # fmt: skip
        yardstick = name if name in ("none", "noise") else ""
        rows.append(Standing(name, name, "none", name, None, None, {who: played}, 0.9, 0.01, 1.0, (), "e",
                             "recomputed", yardstick, True, name == "none", Budget(), "recomputed"))  # fmt: skip
    return Standings(rules, rules.digest(), "png", 503, 1, 1, [who], [], [who], rows, ["e"])


def test_a_defence_that_saw_its_opponent_plays_no_game() -> None:
    table = standings({"none": np.arange(50), "blur": np.arange(50) + 1, "pgd": np.arange(50) + 300})
    assert [found.rows for found in game.games(rank(table))] == [3]
    rows = [*table.rows[:2], table.rows[2]._replace(tailored=True)]
    seen = table._replace(rows=rows)
    assert game.games(rank(seen)) == []
    assert "One defence takes no part" in text.game(played=False, tailored=1)
    more = seen._replace(rows=[*rows, table.rows[1]._replace(key="again", label="again")])
    assert [found.rows for found in game.games(rank(more))] == [3]


@pytest.mark.slow
def test_nobody_is_ahead_among_equals_and_ranks_say_so() -> None:
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(20):
        table = standings({name: (503 * random.random(80) ** 2.5).astype(np.int64)
                           for name in ["none", "noise", *(f"d{at}" for at in range(19))]})  # fmt: skip
        ranking_ = rank(table)
        wrong += any(apart for line in ranking_.apart for apart in line)
        assert "safest" not in " ".join(text.conclusion(ranking_))
        assert {place.rank for place in ranking_.places if not place.row.control} == {1}
    assert wrong <= 2


def test_whoever_is_told_apart_is_named() -> None:
    none = np.arange(400) % 100
    table = standings({"none": none, "blur": none + 1, "pgd": none + 300})
    found = rank(table)
    names = [place.row.label for place in found.places]
    assert names == ["none", "pgd", "blur"]
    assert found.apart[1] == [True, False, True]
    assert [(place.rank, place.last) for place in found.places] == [(None, None), (1, 1), (2, 2)]
    said = " ".join(text.conclusion(found))
    assert "The safest of 2 defences is pgd: 0% (0.00–0.60%) linked by a on m, 5.0 points less" in said


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=9))
def test_kendalls_tau_is_that_of_scipy(found: list[tuple[int, int]]) -> None:
    from scipy.stats import kendalltau

    one, two = (np.array(values, float) for values in zip(*found, strict=True))
    if len(set(one)) == 1 or len(set(two)) == 1:
        assert kendall(one, two) == 0.0
    else:
        assert kendall(one, two) == pytest.approx(kendalltau(one, two).statistic)


def test_a_table_says_whether_seeds_agree() -> None:
    ranks = {"none": np.arange(400) % 100, "blur": np.arange(400) % 100 + 5, "pgd": np.arange(400) % 100 + 300}
    assert rank(standings(ranks)).agreement is None
    found = rank(standings(ranks, seeds=3))
    assert found.agreement == pytest.approx(1.0)
    assert "Kendall's tau 1.00" in " ".join(text.conclusion(found))


def test_rows_without_photos_are_not_judged() -> None:
    table = standings({"none": np.arange(50), "pgd": np.arange(50) + 300})
    bare = {who: Played(found.success, found.auc, {}) for who, found in table.rows[1].played.items()}
    found = rank(table._replace(rows=[table.rows[0], table.rows[1]._replace(played=bare)]))
    assert found.shown is None
    assert text.conclusion(found) == []
    assert found.apart == [[False, None], [None, None]]
