"""Leaderboards of identification: entries, what is checked of them, tables, reruns, and defences that are tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished, made_board

from linkbench.leaderboard import named, packed_arrays
from linkbench.leaderboard.board import load, tables
from linkbench.leaderboard.entry import Entry, content_digest, read, write
from linkbench.leaderboard.protocol import NAMED
from linkbench.leaderboard.rerun import scenario_of
from linkbench.leaderboard.trying import scenario_with
from linkbench.leaderboard.verify import check, stored_photos
from linkbench.registry.spec import parse_spec
from linkbench.results.folder import read as read_results
from linkbench.results.folder import read_ranks

NAMES = """
linkbench: 1
name: small
task: identification
cohort: {use: rendered, count: 390, per_identity: 3, size: 32}
split: {test: 0.85, validation: 0.1}
gallery: {photos: 2}
models:
  - {name: own, architecture: {use: small-cnn, width: 2, depth: 2}, recipe: {use: embedding, epochs: 1}}
defenders:
  - none
  - {use: noise, epsilon: 8/255}
  - {use: shortcut, epsilon: 8/255}
channels: png
identifiers: [nearest-neighbour, linear]
measure: {top_k: [1], sizes: [100], resamples: 100}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_board(tmp_path_factory.mktemp("names"), NAMES)


@pytest.fixture(scope="module")
def entry(folder: Path) -> Entry:
    return read(folder / "leaderboard" / "entries" / "small.json")


def test_an_entry_holds_together(folder: Path, entry: Entry) -> None:
    found = check(entry)
    assert found.problems == []
    assert found.recomputed == 2 * len(entry.cells) + 2 * len(entry.changes)
    assert entry.protocol.data.genomes == NAMED
    assert entry.protocol.split == {"test": 0.85, "validation": 0.1, "gallery": 2.0}
    assert set(entry.protocol.opponents.attackers) == {"nearest-neighbour", "linear"}
    people = len(np.unique(read_ranks(folder / "results" / "small", entry.cells[0].id).array("identity")))
    assert entry.population == people >= 100
    assert {change.part for change in entry.changes} == {"gallery"}
    assert {change.photos for change in entry.changes} == {2 * people}, "what was changed is the gallery"


def test_the_table_says_what_the_run_says(folder: Path, entry: Entry) -> None:
    (table,) = tables(load(folder / "leaderboard"))
    assert (table.photos, table.people) == (entry.population, entry.population)
    said = {
        (row.defender, row.attacker): row.value
        for row in read_results(folder / "results" / "small").rows
        if row.metric == "success" and (row.k, row.n) == (1, 100)
    }
    for row in table.rows:
        for opponent, played in row.played.items():
            assert played.value() == pytest.approx(said[row.defender, opponent.attacker], abs=1.5e-6)
    assert {row.label: row.yardstick for row in table.rows} == {"none": "none", "noise": "noise", "shortcut": ""}


def _with(entry: Entry, change: Callable[[dict[str, Any]], None]) -> Entry:
    record = json.loads(entry.model_dump_json(exclude_defaults=True))
    change(record)
    return Entry.model_validate_json(json.dumps({**record, "digest": content_digest(record)}))


def test_other_people_galleries_and_photos_are_found(entry: Entry) -> None:
    def gallery(record: dict[str, Any]) -> None:
        record["scenario"]["gallery"]["photos"] = 1

    def as_linked(record: dict[str, Any]) -> None:
        for change in record["changes"]:
            del change["gallery"]

    def luckier(record: dict[str, Any]) -> None:
        arrays = packed_arrays.unpack(record["ranks"])
        record["ranks"] = packed_arrays.pack({**arrays, "0.better": np.minimum(arrays["0.better"], 3)})

    for change, said in {
        gallery: "does not follow the protocol",
        as_linked: "is missing",
        luckier: "photos give",
    }.items():
        assert said in " ".join(check(_with(entry, change)).problems), change.__name__


def test_it_can_be_run_again(entry: Entry) -> None:
    again = scenario_of(entry)
    assert again.resolved() == {**entry.scenario, "name": entry.name}


def test_the_pages_speak_of_people(folder: Path, home: Path, run_cli: Callable[..., Finished]) -> None:
    done = run_cli("leaderboard", "build", "--board", folder / "leaderboard", "--out", home / "out")
    assert done.status == 0, done.err
    for name in ("README.md", "index.html"):
        assert "people of the gallery" in (home / "out" / name).read_text()


def test_a_poison_of_training_photos_cannot_be_tried_there(entry: Entry) -> None:
    (spec,), _ = parse_spec("defender", "blur", ())
    tried = scenario_with(scenario_of(entry), spec, poison=False, channels=(), seeds=())
    assert [one.name for one in tried.specs["defenders"]] == ["none", "blur"]
    assert tried.specs["poisons"] == []
    with pytest.raises(Exception, match="leave --poison out"):
        scenario_with(scenario_of(entry), spec, poison=True, channels=(), seeds=())


def test_the_protocol_of_the_toolkit_is_one_of_names() -> None:
    found = named.named("identification-v1")
    resolved = json.loads(json.dumps(found.scenario.resolved()))
    sees = {"nearest-neighbour": ["embeddings"], "linear": ["embeddings"], "fine-tuned": ["photos"]}
    played = named.played(resolved, sees)
    assert played is not None
    assert played.rules.name == "identification-v1"
    assert not named.fits({**resolved, "gallery": {"photos": 2}}, "identification-v1", sees)
    assert not named.fits(resolved, "rendered-v1", sees)


def test_stored_photos_come_back(entry: Entry, tmp_path: Path) -> None:
    write(tmp_path / "small.json", entry)
    stored = stored_photos(read(tmp_path / "small.json"))
    assert stored is not None
    assert {len(change.people) for change in stored.changes.values()} == {2 * entry.population}
    assert {len(cell.people) for cell in stored.cells.values()} == {entry.population}
