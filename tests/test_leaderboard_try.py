"""Protocols of the toolkit, and one defence tried on a table: what it costs nobody and where it would stand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FEW, Finished
from test_leaderboard_cheats import forged, small

from linkbench.errors import InputError
from linkbench.leaderboard import named, trying
from linkbench.leaderboard.board import load
from linkbench.leaderboard.entry import Entry
from linkbench.leaderboard.protocol import Rules, protocol
from linkbench.leaderboard.ranking import seed_weights
from linkbench.leaderboard.verify import check
from linkbench.metrics.intervals import SHARE, resampled_means
from linkbench.stages import matching


def test_every_protocol_is_a_scenario_with_controls_alone() -> None:
    for name in named.names():
        found = named.named(name)
        resolved = found.scenario.resolved()
        assert resolved["name"] == name
        assert {spec["name"] for spec in [*resolved["defenders"], *resolved["poisons"]]} <= {"none", "noise"}
        assert found.rules.name == name
        scale = 2 if name == "identification-v1" else 1
        assert found.rules.budgets == [scale * budget for budget in (2 / 255, 4 / 255, 8 / 255)]
        assert len(resolved["seeds"]) >= 3
        if name != "photos-v1":
            assert resolved["cohort"][0]["params"]["count"] * resolved["split"]["test"] >= 1000
            assert resolved["cohort"][0]["params"]["size"] == 64
        assert {spec["label"] for spec in resolved["channels"]} == {"float", "png", "platform"}


SEES = {
    "predicted": ["variants"], "calibrated(learns=clean)": ["variants"], "calibrated(learns=protected)": ["variants"],
    "soft": ["probabilities"], "likelihood": ["probabilities"], "assignment": ["variants"],
    "known": ["truth", "variants"],
}  # fmt: skip


def test_a_run_of_a_protocol_with_more_is_still_known_and_one_with_less_is_not() -> None:
    resolved = json.loads(json.dumps(named.named("rendered-v1").scenario.resolved()))
    assert named.fits(resolved, "rendered-v1", SEES)
    resolved["defenders"].append({"kind": "defender", "name": "mine", "label": "mine", "params": {}})
    resolved["models"].append({**resolved["models"][0], "name": "more", "sealed": True})
    assert named.fits(resolved, "rendered-v1", SEES)
    known = named.played(resolved, SEES)
    assert known is not None
    assert known.rules.name == "rendered-v1"
    data = small_data()
    own = protocol(resolved, SEES, data, {}, known.rules, named.opponents_of("rendered-v1"))
    assert set(own.opponents.models) == {"standard", "robust", "later", "cleaned", "retrained"}
    assert set(own.opponents.oracles) == {"known"}
    for part, change in {
        "seeds": [0], "cohort": [{**resolved["cohort"][0], "params": {}}], "models": resolved["models"][:2],
        "attackers": resolved["attackers"][1:], "split": {},
    }.items():  # fmt: skip
        assert not named.fits({**resolved, part: change}, "rendered-v1", SEES), part


def small_data() -> Any:
    from test_leaderboard_maths import _data

    return _data()


@pytest.mark.slow
def test_a_small_run_cannot_say_that_it_is_a_protocol(small_board: Path) -> None:
    def boast(record: dict[str, Any], _: dict[str, Any]) -> None:
        record["protocol"]["rules"] = Rules(name="rendered-v1").model_dump()

    found = check(forged(small(small_board / "leaderboard"), boast)).problems
    assert "the scenario does not play the protocol 'rendered-v1' of the toolkit" in found


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_intervals_over_three_seeds_cover(spread: float) -> None:
    """200 people a seed, success .1, and training that changes it from seed to seed by so much."""
    random, inside, runs = np.random.default_rng(1), 0, 150
    weights = seed_weights(300, 3)
    assert weights.sum(axis=1) == pytest.approx(np.ones(300))
    for run in range(runs):
        total = np.zeros(300)
        for seed in range(3):
            found = random.random(200) < np.clip(0.1 + spread * random.standard_normal(), 0.001, 0.999)
            options: dict[str, Any] = {"resamples": 300, "seed": 10 * run + seed, "ends": SHARE}
            total += weights[:, seed] * resampled_means(found[:, None].astype(float), np.arange(200), **options)[:, 0]
        low, high = np.quantile(total, [0.025, 0.975])
        inside += low <= 0.1 <= high
    assert inside / runs >= 0.93


def strong(board: Path) -> Entry:
    """The entry `small`, its people found well where nothing is defended."""

    def ranks(record: dict[str, Any], arrays: dict[str, Any]) -> None:
        plain = np.array([cell["defender"] == "none" for cell in record["cells"]])
        photos = np.arange(arrays["0.better"].shape[1])
        arrays["0.better"] = np.where(plain[:, None], photos % 2, photos % 2 + 60)
        arrays["0.tied"][:] = 0
        arrays["0.joint"][:] = 0
        arrays.pop("0.hits")
        arrays.pop("0.draws")

    return forged(small(board), ranks)


@pytest.mark.slow
def test_a_guest_stands_among_the_others_and_is_not_written(small_board: Path, tmp_path: Path) -> None:
    board = tmp_path / "leaderboard"
    shutil.copytree(small_board / "leaderboard", board)
    listed = load(board)
    guest = strong(board).model_copy(update={"name": trying.GUEST})
    tried = trying.among(guest, listed)
    assert tried.remarks == []
    for sheet in tried.sheets:
        assert len(sheet.table.rows) == 5
        assert [place.row.defender[:8] for place in tried.places(sheet)] == ["</script"]
    other = next(plugin for plugin in guest.plugins if plugin.use == "predicted")
    protocol_ = guest.protocol.model_copy(update={"codes": {**guest.protocol.codes, "attacker/predicted": "0" * 16}})
    codes = [plugin.model_copy(update={"code": "0" * 16}) if plugin.kind in ("attacker", "channel") else plugin
             for plugin in guest.plugins]  # fmt: skip
    edited = guest.model_copy(update={"protocol": protocol_, "protocol_digest": protocol_.digest(), "plugins": codes})
    assert other.code != "0" * 16
    tried = trying.among(edited, listed)
    assert "other code of attacker/predicted" in tried.remarks[0]
    assert [len(sheet.table.rows) for sheet in tried.sheets] == [5, 5]
    assert [path.name for path in (board / "entries").iterdir()] == ["small.json"]


@pytest.mark.slow
def test_a_defence_is_tried_from_the_command_line(
    small_board: Path, home: Path, run_cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "MATCHES", FEW)
    shutil.copytree(small_board / "leaderboard", home / "leaderboard")
    before = {path: path.read_bytes() for path in (home / "leaderboard").rglob("*.json")}
    tried = run_cli(
        "leaderboard", "try", "blur", "--set", "sigma=1", "--channel", "png", "--store", small_board / "store"
    )
    assert tried.status == 0, tried.err
    assert "blur, posted as png: " in tried.out
    assert "class perceptual" in tried.out
    assert "nothing is ranked" in tried.out  # ten people, a network of one epoch
    assert {path: path.read_bytes() for path in (home / "leaderboard").rglob("*.json")} == before
    assert "train small-cnn" not in tried.err  # it was in the store
    wrong = run_cli("leaderboard", "try", "blur", "--channel", "jpeg")
    assert wrong.status == 2
    assert "there are: float, png" in wrong.err
    assert run_cli("leaderboard", "try", "blur", "--protocol", "rendered-v0").status == 2


def test_protocols_are_listed_and_printed(run_cli: Callable[..., Finished]) -> None:
    shown = run_cli("leaderboard", "protocols")
    assert [line.split()[0] for line in shown.out.splitlines()] == list(named.names())
    assert run_cli("leaderboard", "protocols", "rendered-v1").out == named.scenario_text("rendered-v1")
    assert "there are: rendered-v1" in run_cli("leaderboard", "protocols", "rendered-v9").err


def test_there_must_be_a_table_to_try_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no board here and no --protocol"):
        trying.ground([], None)
    assert trying.ground([], "poisons-v1").mates == []
