"""A store that machines share and people look after: nothing good is lost, nothing bad is served, room can be made."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished

from linkbench.api.data import Artefact
from linkbench.errors import InputError
from linkbench.store import tensorfile, upkeep
from linkbench.store.store import DAY, Store, Stored

REAL, RENDERED = {"cohort": {"use": "celeba"}}, {"cohort": {"use": "rendered"}}


def put(store: Store, stage: str, number: int, inputs: dict[str, str] | None = None, **more: Any) -> Stored:
    key = {"stage": stage, "seed": number, "inputs": inputs or {}, **more}
    return store.write(key, Artefact({"x": np.full(1000, float(number))}, {}), lambda: 0.1)


def aged(store: Store, entry: Stored, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(store._key_file(entry.key), (then, then))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_is_set_aside_and_not_served(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    flip(store.object_file(entry.digest))
    other = Store(tmp_path / "s")  # another process: this one has verified the object already
    assert other.read(entry.digest) is None
    assert [path.name for path in upkeep.quarantine(other)] == [f"{entry.digest}.safetensors"]
    assert other.quarantined == upkeep.quarantine(other)
    assert put(other, "rank", 1).digest == entry.digest
    assert other.read(entry.digest) is not None


def test_a_stale_read_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that sees an old file for a moment reads again; one that always does takes nothing from the others."""
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    here, there = Store(tmp_path / "s"), Store(tmp_path / "s")
    whole = tensorfile.file_digest
    seen: list[Path] = []

    def lags(path: Path) -> str:
        seen.append(path)
        return "stale" if len(seen) < 3 else whole(path)

    monkeypatch.setattr(tensorfile, "file_digest", lags)
    assert here.read(entry.digest) is not None
    monkeypatch.setattr(tensorfile, "file_digest", lambda p: whole(p) if p.parent.name == "quarantine" else "stale")
    assert there.read(entry.digest) is None
    monkeypatch.undo()
    assert upkeep.quarantine(store) == [], "it was whole, so it is back in its place"
    assert Store(tmp_path / "s").read(entry.digest) is not None


def test_an_object_that_vanishes_is_a_miss(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    store.object_file(entry.digest).unlink()
    assert store.read(entry.digest) is None
    assert [item.digest for item in upkeep.damaged(store, upkeep.items(store))] == [entry.digest]
    assert put(store, "rank", 1).digest == entry.digest


def test_what_is_used_stays_young(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    aged(store, entry, 40 * DAY)
    assert [item.digest for item in upkeep.older(upkeep.items(store), 30 * DAY)] == [entry.digest]
    assert store.find(entry.key) == entry
    assert upkeep.older(upkeep.items(store), 30 * DAY) == []


def test_room_is_made_from_what_was_used_least(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entries = [put(store, "rank", number) for number in range(4)]
    for number, entry in enumerate(entries):
        aged(store, entry, (10 - number) * DAY)
    found = upkeep.items(store)
    one = found[0].size
    assert upkeep.size(found) == 4 * one
    assert [item.digest for item in upkeep.beyond(found, 2 * one)] == [entry.digest for entry in entries[:2]]
    assert upkeep.beyond(found, 4 * one) == []
    assert len(upkeep.beyond(found, 0)) == 4


def test_shared_objects_stay_and_so_does_what_a_run_has_just_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    same = [put(store, "rank", 1, kind=kind) for kind in "ab"]
    young = put(store, "rank", 2)
    aged(store, same[0], 2 * DAY)
    assert same[0].digest == same[1].digest
    gone = upkeep.remove(store, upkeep.items(store))
    assert [item.key["kind"] for item in gone] == ["a"]
    assert store.find(same[0].key) is None
    assert store.read(same[1].digest) is not None
    assert store.read(young.digest) is not None
    assert len(upkeep.remove(store, upkeep.items(store), young=True)) == 2
    assert list((tmp_path / "s" / "objects").glob("*/*")) == []


def test_real_people_go_with_all_that_came_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    genomes = put(store, "genomes", 0)
    real = put(store, "cohort", 1, {"genomes": genomes.digest}, plugins=REAL)
    drawn = put(store, "cohort", 2, {"genomes": genomes.digest}, plugins=RENDERED)
    network = put(store, "train", 3, {"cohort": real.digest})
    put(store, "predict", 4, {"train": network.digest})
    put(store, "train", 5, {"cohort": drawn.digest})
    found = upkeep.of_real_people(upkeep.items(store), lambda name: name != "rendered")
    assert sorted(item.key["seed"] for item in found) == [1, 3, 4]


@pytest.mark.parametrize("content", [None, "[", "[]", '{"scenario": {}}'])
def test_a_folder_that_is_no_results_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match="is no results folder"):
        upkeep.reached(tmp_path)


SCENARIO = """
linkbench: 1
name: tiny
cohort: {use: sampled, count: 30}
genomes: {use: simulated, count: 60}
attackers: [predicted, random]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""
OTHER = ("run", "tiny.yaml", "--store", "s", "--set", "cohort.count=20", "--out", "other")


def test_the_commands(home: Path, run_cli: Callable[..., Finished]) -> None:
    Path("tiny.yaml").write_text(SCENARIO)
    assert run_cli("run", "tiny.yaml", "--store", "s").status == 0
    first = run_cli("store", "show", "--store", "s")
    assert first.status == 0
    assert "tiny (results/tiny)" in first.out
    assert "cohort" in first.out
    assert run_cli(*OTHER).status == 0
    kept = run_cli("store", "prune", "--unreachable-from", "other", "--store", "s")
    assert kept.status == 0
    assert "removed 0 stages" in kept.out
    assert "younger than an hour and stay" in kept.out
    store = Store(Path("s"))
    for item in upkeep.items(store):
        os.utime(item.file, (time.time() - DAY / 2,) * 2)
    before = len(upkeep.items(store))
    said = run_cli("store", "prune", "--unreachable-from", "other", "--store", "s", "--dry-run")
    assert "would remove" in said.out
    assert len(upkeep.items(store)) == before
    assert run_cli("store", "prune", "--unreachable-from", "other", "--store", "s").status == 0
    assert 0 < len(upkeep.items(store)) < before
    assert " 0 computed" in run_cli(*OTHER).out, "what a results folder needs was kept"
    item = max(upkeep.items(store), key=lambda item: item.size)
    flip(store.object_file(item.digest))
    bad = run_cli("store", "verify", "--store", "s")
    assert bad.status == 1
    assert f"{item.stage} {item.digest[:16]}: damaged, now" in bad.out
    assert run_cli("store", "purge", "--store", "s").status == 0
    assert upkeep.quarantine(store) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("prune",), "say what can go"),
        (("prune", "--older-than", "soon"), "expected something like 12h, 30d or 8w"),
        (("prune", "--keep", "5Q"), "expected something like 500M or 5G"),
        (("prune", "--unreachable-from", "nowhere"), "is no results folder"),
        (("show", "nowhere"), "is no results folder"),
    ],
)
def test_bad_input_is_refused(
    home: Path, run_cli: Callable[..., Finished], arguments: tuple[str, ...], why: str
) -> None:
    Store(Path("s"))
    done = run_cli("store", *arguments, "--store", "s")
    assert done.status == 2
    assert why in " ".join(done.err.split())


def test_a_folder_that_is_no_store_is_refused_and_left_alone(home: Path, run_cli: Callable[..., Finished]) -> None:
    Path("photos").mkdir()
    done = run_cli("store", "purge", "--store", "photos")
    assert done.status == 2
    assert "is no store" in done.err
    assert list(Path("photos").iterdir()) == []


def test_a_copy_on_another_machine_is_as_good(tmp_path: Path) -> None:
    store = Store(tmp_path / "one")
    entry = put(store, "rank", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = Store(tmp_path / "two")
    assert other.find(json.loads(json.dumps(entry.key))) == entry
    assert other.read(entry.digest) is not None
