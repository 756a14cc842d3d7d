"""Marks of runs at work: seen by others while the run lives, and no obstacle to anybody once it does not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import environment

from linkbench.store import marks as marks_module
from linkbench.store.marks import Marks
from linkbench.store.store import Store

KEY: dict[str, Any] = {"stage": "rank", "seed": 0, "inputs": {}}


def test_a_run_at_work_is_seen_and_one_that_is_done_is_not(store_address: str) -> None:
    store = Store(store_address)
    here, there = Marks(store.blobs), Marks(Store(store_address).blobs)
    there.me = {"host": "elsewhere", "pid": 7, "run": "other"}
    assert there.take(KEY) == ""
    assert there.take(KEY) == "", "its own mark is no obstacle"
    assert here.take(KEY) == "elsewhere, process 7"
    assert here.take({**KEY, "seed": 1}) == ""
    there.drop(KEY)
    assert here.take(KEY) == ""
    assert there.take(KEY) != "" or here.me["host"] == there.me["host"]
    here.close()
    assert store.blobs.listing("marks") == []
    there.close()


def test_the_mark_of_a_dead_run_blocks_nobody(store_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(store_address)
    dead, here = Marks(store.blobs), Marks(store.blobs)
    dead.me = {"host": "elsewhere", "pid": 7, "run": "other"}
    assert dead.take(KEY) == ""
    assert here.take(KEY) == "elsewhere, process 7"
    later = store.blobs.now() + marks_module.EXPIRY + 5
    monkeypatch.setattr(here.blobs, "now", lambda: later)
    assert here.take(KEY) == ""
    here.close()
    dead.close()


def test_a_killed_process_of_this_machine_is_known_at_once(store_address: str) -> None:
    store = Store(store_address)
    killed, here = Marks(store.blobs), Marks(store.blobs)
    killed.me = {**killed.me, "pid": 2**22 + 1}  # beyond the largest that Linux gives
    assert killed.take(KEY) == ""
    assert here.take(KEY) == ""
    killed.close()
    here.close()


def test_a_mark_is_renewed_while_its_run_lives(store_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks_module, "RENEWAL", 0.01)
    marks = Marks(Store(store_address).blobs)
    touched: list[str] = []
    monkeypatch.setattr(marks.blobs, "touch", touched.append)
    marks.take(KEY)
    until = time.monotonic() + 5
    while len(touched) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(touched) >= 3
    marks.close()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 1}', b'{"host": "x", "pid": "y"}'])
def test_a_mark_that_says_nothing_blocks_nobody(store_address: str, content: bytes) -> None:
    store = Store(store_address)
    store.blobs.create(marks_module._name(KEY), content)
    marks = Marks(store.blobs)
    assert marks.take(KEY) == ""
    marks.close()


SCENARIO = """
linkbench: 1
name: many
genomes: {use: simulated, count: [500, 800]}
cohort: {use: sampled, count: 200}
attackers: [predicted, calibrated, random]
measure: {top_k: [1, 5], sizes: [10, {from: 20, to: all, factor: 2}], resamples: 200}
"""


def drivers(address: str, folder: Path, extra: dict[str, str], *, count: int = 2) -> list[list[dict[str, Any]]]:
    """Runs of one scenario at once, each with a cache folder of its own; the events of each."""
    (folder / "s.yaml").write_text(SCENARIO)
    command = [sys.executable, "-m", "linkbench", "run", "s.yaml", "--json", "--store", address, "--out"]
    started = [
        subprocess.Popen(
            [*command, f"out{number}"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**environment(), **extra, "LINKBENCH_CACHE": str(folder / f"cache{number}")},
        )
        for number in range(count)
    ]  # fmt: skip
    told = []
    for process in started:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        told.append([json.loads(line) for line in out.splitlines()])
    return told


def computed(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Stage and step of what a run computed itself."""
    return [
        (event["stage"], event["step"])
        for event in events
        if event["event"] == "end" and event["outcome"] == "computed"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_two_drivers_at_once_do_little_twice_and_tell_the_same(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "s3":
        address = f"s3://{request.getfixturevalue('bucket').name}/shared"
        extra = request.getfixturevalue("bucket_server").environment()
    else:
        address, extra = str(tmp_path / "store"), {}
    told = drivers(address, tmp_path, extra)
    both = [(stage, step) for events in told for stage, step in computed(events)]
    assert {step for _, step in both} == set(json.loads((tmp_path / "out0" / "run.json").read_text())["steps"])
    twice = {stage for stage, step in both if both.count((stage, step)) > 1}
    assert twice <= {"genomes", "predict", "measure"}, "only what takes no time is done twice"
    for name in ("results.csv", "report.html"):
        assert (tmp_path / "out0" / name).read_bytes() == (tmp_path / "out1" / name).read_bytes()
    assert Store(address).blobs.listing("marks") == []
