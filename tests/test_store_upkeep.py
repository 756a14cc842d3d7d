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
from linkbench.store.folder import DAY
from linkbench.store.store import Store, Stored, digest_of, key_name, object_name, quarantine_name

REAL, RENDERED = {"cohort": {"use": "celeba"}}, {"cohort": {"use": "rendered"}}


def put(store: Store, stage: str, number: int, inputs: dict[str, str] | None = None, **more: Any) -> Stored:
    key = {"stage": stage, "seed": number, "inputs": inputs or {}, **more}
    return store.write(key, Artefact({"x": np.full(1000, float(number))}, {}), lambda: 0.1)


def key_file(store: Store, key: dict[str, Any]) -> Path:
    return Path(store.address, key_name(key))


def object_file(store: Store, digest: str) -> Path:
    return Path(store.address, object_name(digest))


def quarantine_file(store: Store, digest: str) -> Path:
    return Path(store.address, quarantine_name(digest))


def aged(store: Store, entry: Stored, seconds: float) -> None:
    then = time.time() - seconds
    for path in (key_file(store, entry.key), object_file(store, entry.digest)):
        os.utime(path, (then, then))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_is_set_aside_and_not_served(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    flip(object_file(store, entry.digest))
    other = Store(tmp_path / "s")  # another process: this one has verified the object already
    assert other.read(entry.digest) is None
    assert upkeep.quarantine(other) == [quarantine_name(entry.digest)]
    assert other.quarantined == {entry.digest: str(quarantine_file(other, entry.digest))}
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


def test_what_another_machine_set_aside_is_put_back_if_it_is_whole(tmp_path: Path) -> None:
    """A machine with a stale view was stopped between setting a good object aside and looking at it again."""
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    here = Store(tmp_path / "s")
    quarantine_file(here, entry.digest).parent.mkdir()
    object_file(store, entry.digest).rename(quarantine_file(here, entry.digest))
    assert here.read(entry.digest) is not None
    assert (upkeep.quarantine(here), here.quarantined) == ([], {})
    assert object_file(store, entry.digest).exists()


def test_a_new_object_is_served_though_a_damaged_one_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    flip(object_file(store, entry.digest))
    here, there = Store(tmp_path / "s"), Store(tmp_path / "s")
    assert here.read(entry.digest) is None
    assert there.read(entry.digest) is None
    assert (len(here.quarantined), there.quarantined) == (1, {})
    assert put(there, "rank", 1).digest == entry.digest
    assert here.read(entry.digest) is not None


def test_bytes_and_names_are_flushed_before_anybody_relies_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut may leave: never a name without its bytes, never a key without its object."""
    store = Store(tmp_path / "s")
    events: list[tuple[str, Path]] = []
    flush, rename = os.fsync, os.replace

    def flushed(handle: int) -> None:
        events.append(("flush", Path(os.readlink(f"/proc/self/fd/{handle}"))))
        flush(handle)

    def renamed(source: Path, target: Path) -> None:
        assert ("flush", Path(source)) in events
        events.append(("rename", Path(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    entry = put(store, "rank", 1)
    thing, key = object_file(store, entry.digest), key_file(store, entry.key)
    place = {event: number for number, event in enumerate(events)}
    assert place["rename", thing] < place["flush", thing.parent] < place["rename", key] < place["flush", key.parent]
    assert {("flush", thing.parent.parent), ("flush", key.parent.parent)} <= set(events), "new folders have names too"


@pytest.mark.parametrize("digest", ["../../../secret", "0" * 63, "A" * 64, 3, None])
def test_a_digest_that_is_none_never_becomes_a_path(tmp_path: Path, digest: Any) -> None:
    store = Store(tmp_path / "s")
    secret = tmp_path / "secret.safetensors"
    secret.write_text("mine")
    entry = put(store, "rank", 1)
    record = {"key": entry.key, "digest": digest, "seconds": 0.1}
    key_file(store, entry.key).write_text(json.dumps({**record, "check": digest_of(record)}))
    assert store.find(entry.key) is None
    assert upkeep.items(store) == []
    assert upkeep.strays(store, young=True) == [object_name(entry.digest), key_name(entry.key)]
    assert secret.exists()


def test_an_object_that_vanishes_is_a_miss(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    object_file(store, entry.digest).unlink()
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


def test_a_shared_object_is_as_young_as_its_last_use(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    old, other = put(store, "rank", 1, kind="a"), put(store, "rank", 2)
    again = put(store, "rank", 1, kind="b")
    for entry, days in ((old, 10), (other, 5), (again, 1)):
        aged(store, entry, days * DAY)
    found = upkeep.items(store)
    assert [item.digest for item in upkeep.beyond(found, found[0].size)] == [other.digest]


def test_shared_objects_stay_and_so_does_what_a_run_has_just_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    same = [put(store, "rank", 1, kind=kind) for kind in "ab"]
    young = put(store, "rank", 2)
    aged(store, same[0], 2 * DAY)
    assert same[0].digest == same[1].digest
    gone = upkeep.settled(upkeep.items(store))
    assert [item.key["kind"] for item in gone] == ["a"]
    upkeep.remove(store, gone)
    assert store.find(same[0].key) is None
    assert store.read(same[1].digest) is not None
    assert store.read(young.digest) is not None
    upkeep.remove(store, upkeep.items(store), young=True)
    assert list((tmp_path / "s" / "objects").glob("*/*")) == []


def test_an_object_that_a_run_leaves_again_while_room_is_made_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = put(store, "rank", 1)
    aged(store, entry, 2 * DAY)
    gone = upkeep.settled(upkeep.items(store))
    os.utime(object_file(store, entry.digest))  # written again, its new key is about to follow
    upkeep.remove(store, gone)
    assert store.read(entry.digest) is not None
    assert upkeep.strays(store) == []
    assert upkeep.strays(store, young=True) == [object_name(entry.digest)]


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
    key_file(store, real.key).unlink()  # somebody made room
    object_file(store, real.digest).unlink()
    found = upkeep.of_real_people(upkeep.items(store), lambda name: name != "rendered")
    assert sorted(item.key["seed"] for item in found) == [3, 4], "what came of it is not forgotten"


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


@pytest.mark.slow
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
    assert "used within the last hour and stay" in kept.out
    store = Store(Path("s"))
    for item in upkeep.items(store):
        for path in (key_file(store, item.key), object_file(store, item.digest)):
            os.utime(path, (time.time() - DAY / 2,) * 2)
    stray = object_file(store, "0" * 64)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"")
    os.utime(stray, (time.time() - DAY / 2,) * 2)
    assert "belongs to no finished stage" in run_cli("store", "verify", "--store", "s").out
    before = len(upkeep.items(store))
    said = run_cli("store", "prune", "--unreachable-from", "other", "--store", "s", "--dry-run")
    assert "would remove" in said.out
    assert (len(upkeep.items(store)), stray.exists()) == (before, True)
    done = run_cli("store", "prune", "--unreachable-from", "other", "--store", "s")
    assert (done.status, done.out) == (0, said.out.replace("would remove", "removed"))
    assert not stray.exists()
    assert 0 < len(upkeep.items(store)) < before
    assert " 0 computed" in run_cli(*OTHER).out, "what a results folder needs was kept"
    item = max(upkeep.items(store), key=lambda item: item.size)
    flip(object_file(store, item.digest))
    bad = run_cli("store", "verify", "--store", "s")
    assert bad.status == 1
    assert f"{item.stage} {item.digest[:16]}: damaged, now" in bad.out
    would = run_cli("store", "purge", "--dry-run", "--store", "s").out
    assert "would remove 1 file damaged, unfinished or of no stage" in would
    assert len(upkeep.quarantine(store)) == 1
    assert run_cli("store", "purge", "--store", "s").out == would.replace("would remove", "removed")
    assert upkeep.quarantine(store) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("prune",), "say what can go"),
        (("prune", "--older-than", "soon"), "expected something like 12h, 30d or 8w"),
        (("prune", "--keep", "5Q"), "expected something like 500M or 5G"),
        (("prune", "--keep", "9" * 400), "expected something like 500M or 5G"),
        (("prune", "--keep=-1G"), "expected something like 500M or 5G"),
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
