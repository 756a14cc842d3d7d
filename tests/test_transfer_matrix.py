"""Networks that defences saw against those of attackers: what is taken away, who saw what, what the report says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkbench.api.data import Artefact
from linkbench.report import as_json, transfer
from linkbench.results import transfer as matrix
from linkbench.results.conclusions import Reached
from linkbench.results.results import Results
from linkbench.results.transfer import Transfer, cross, taken_away
from linkbench.results.verdicts import Photos, Question

PEOPLE, QUESTION = 80, Question(1, 10, resamples=200)
MODELS = [{"name": "a", "sealed": False}, {"name": "b", "sealed": False}, {"name": "far", "sealed": True}]


def cell(model: str, defender: str, attacker: str, id_: str, seen: tuple[str, ...]) -> dict[str, Any]:
    plugins = {"cohort": "rendered", "genomes": "g", "model": "small-cnn", "poison": "none", "defender": defender,
               "channel": "png", "attacker": attacker}  # fmt: skip
    budget = {"norm": "none", "radius": None, "ceiling": None}
    return {
        "id": id_, "cohort": "c", "genomes": "g", "model": model, "poison": "none", "defender": defender,
        "epsilon": None, "channel": "png", "attacker": attacker, "seed": 0, "failed": None,
        "facts": {"plugins": plugins, "control": defender in ("none", "noise"), "budget": budget,
                  "poison_budget": budget, "eight_bit": True, "seen": list(seen)},
    }  # fmt: skip


def made(linked: dict[tuple[str, str, str], float], seen: dict[str, dict[str, tuple[str, ...]]]) -> list[Transfer]:
    """By model, defender and attacker the share of people who come first; seen: by defender and model."""
    cells, files = [], {}
    for number, ((model, defender, attacker), share) in enumerate(linked.items()):
        cells.append(cell(model, defender, attacker, f"c{number}", seen.get(defender, {}).get(model, ())))
        better = np.where(np.arange(PEOPLE) < share * PEOPLE, 0, 99)
        arrays = {"identity": np.arange(PEOPLE), "better": better, "tied": np.zeros(PEOPLE, int)}
        files[f"c{number}"] = Artefact(arrays, {"population": 100})
    scenario = {"measure": {"top_k": [1], "sizes": [10], "resamples": 200}, "models": MODELS}
    return cross(
        scenario, cells, {attacker: ["variants"] for _, _, attacker in linked}, Reached(lambda id_: files[id_])
    )


EVERY = ("a", "b", "far")
SAW = {"decoy": dict.fromkeys(EVERY, ("a", "b")), "own": {name: (name,) for name in EVERY}}
LINKED = {
    **{(name, "none", "x"): 0.3 for name in EVERY},
    **{(name, "none", "y"): 0.5 for name in EVERY},
    ("a", "decoy", "x"): 0.1, ("b", "decoy", "x"): 0.0, ("far", "decoy", "x"): 0.4, ("far", "decoy", "y"): 0.3,
    ("a", "noise", "x"): 0.2, ("a", "own", "x"): 0.1, ("b", "own", "x"): 0.1,
}  # fmt: skip


def test_every_cell_is_the_strongest_attacker_with_a_network() -> None:
    (found,) = made(LINKED, SAW)
    assert found.networks == EVERY
    assert found.sealed == (False, False, True)
    assert [one and (one.attacker, one.success.value, one.taken) for one in found.plain] == [("y", 0.5, None)] * 3
    decoy, own = found.reaches
    assert decoy.seen == ("a", "b")
    assert [one and one.attacker for one in decoy.against] == ["x", "x", "x"]
    shares = [one.taken.value for one in decoy.against if one and one.taken]
    assert shares == pytest.approx([1.0, 1.25, 0.25])
    assert all(one.taken.low <= one.taken.value <= one.taken.high for one in decoy.against if one and one.taken)
    assert own.seen == (matrix.OWN,)
    assert own.against[2] is None
    assert matrix.from_json(json.loads(json.dumps(matrix.to_json([found])))) == [found]


def test_it_takes_several_networks_and_a_defence_made_for_some() -> None:
    alone = {place: share for place, share in LINKED.items() if place[0] == "a"}
    assert made(alone, SAW) == []
    white = {place: share for place, share in LINKED.items() if place[1] != "decoy"}
    assert made(white, SAW) == []
    twin = {"own": {name: (f"other seed of {name}",) for name in EVERY}}
    (found,) = made(white, twin)
    assert found.reaches[0].seen == (matrix.OTHER_SEED,)


def photos(first: np.ndarray[Any, Any]) -> Photos:
    return Photos(first.astype(np.float64), np.arange(len(first)), np.ones(len(first)))


@given(st.integers(0, 2**31), st.floats(0.5, 0.9), st.floats(0, 0.9))
def test_what_is_taken_is_a_share_of_the_gain_over_guessing(seed: int, before: float, after: float) -> None:
    random = np.random.default_rng(seed)
    plain, left = (photos(random.uniform(size=PEOPLE) < share) for share in (before, after))
    taken = taken_away(left, plain, QUESTION)
    assert taken is not None
    assert taken.value == pytest.approx((plain.mean - left.mean) / (plain.mean - 0.1))
    assert taken.low <= taken.value <= taken.high
    same = taken_away(plain, plain, QUESTION)
    assert same == (0.0, 0.0, 0.0), "the same people in the same resamples: nothing is in doubt"


def test_where_nothing_is_gained_nothing_can_be_taken() -> None:
    few = photos(np.arange(PEOPLE) % 10 == 0)
    assert taken_away(few, few, QUESTION) is None
    many, others = photos(np.ones(PEOPLE)), photos(np.ones(PEOPLE))._replace(identity=np.arange(PEOPLE) + 1)
    assert taken_away(others, many, QUESTION) is None


def test_the_report_shows_it() -> None:
    (found,) = made(LINKED, SAW)
    shown = transfer.tables([found], "95%")
    assert shown is not None
    (table,) = shown.tables
    assert table.attackers == ["a", "b", "far, sealed"]
    names, rows = zip(*table.rows, strict=True)
    assert names == ("no defence", "decoy (saw a and b)", "own (saw the attacker's own)")
    assert rows[0][0] is not None
    assert "takes" not in rows[0][0].interval
    assert rows[1][2] is not None
    assert rows[1][2].value == "40.0%"
    assert "; takes 25% (" in rows[1][2].interval
    assert rows[2][2] is None
    assert transfer.tables([], "95%") is None
    document = json.loads(as_json.to_json(Results([], {"transfer": matrix.to_json([found])})))
    assert document["transfer"][0]["reaches"][0]["seen"] == ["a", "b"]
