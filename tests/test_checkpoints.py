"""Long training goes on where it was interrupted, to the same bytes; a checkpoint that is wrong breaks nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coloured import cohort, task
from conftest import Finished

from linkbench.api import checkpoints
from linkbench.api.data import Artefact
from linkbench.api.progress import listening, noting
from linkbench.stages.train import train
from linkbench.store import tensorfile
from linkbench.store.checkpoints import StoredCheckpoints
from linkbench.store.checkpoints import checkpoints as listed
from linkbench.store.folder import Folder
from linkbench.store.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
KEY = {"stage": "train"}
PEOPLE = cohort(48)
NET = {"use": "small-cnn", "width": 4, "depth": 3, "dropout": 0.5}
PLAIN = {"use": "standard", "epochs": 3, "patience": 1, "batch": 16}
RECIPES: list[dict[str, Any]] = [
    PLAIN,
    {"use": "adversarial", "defender": {"use": "joint-pgd", "steps": 1}, "passes": 1, "copies": 4},
    {"use": "adaptive", "defender": {"use": "joint-pgd", "steps": 1}, "epochs": 2},
    {"use": "best-of", "recipes": [PLAIN, {"use": "grayscale", "recipe": PLAIN}]},
]


class PowerCutError(Exception):
    """The moment at which a training is interrupted."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is kept, as if it took half a minute."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 0.0)


def trained(
    recipe: dict[str, Any], folder: Path | None = None, stop: int | None = None, **start: Artefact
) -> tuple[bytes, int, list[str]]:
    """The bytes of the artefact, the steps that it took and what the user heard; with `stop` it is cut off there."""
    place = None if folder is None else StoredCheckpoints(Folder(folder), KEY)
    steps, notes = 0, list[str]()

    def hear(done: int, total: int, at: str = "") -> None:
        nonlocal steps
        steps += 1
        if steps == stop:
            raise PowerCutError

    with checkpoints.kept_in(place), listening(hear), noting(notes):
        found = train(task(NET, recipe, cohort=PEOPLE[0], genomes=PEOPLE[1], **start))
    if place is not None:
        place.clear()
    return written(found), steps, notes


def written(found: Artefact) -> bytes:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        tensorfile.write(Path(file.name), found)
        return Path(file.name).read_bytes()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["use"])
def test_goes_on_to_the_same_bytes(recipe: dict[str, Any], tmp_path: Path) -> None:
    """Interrupted again and again, at the first step, within an epoch and between phases."""
    start = {"start": train(task(NET, PLAIN))} if recipe["use"] == "adversarial" else {}  # it is long without
    expected, steps, _ = trained(recipe, **start)
    assert trained(recipe, tmp_path, **start)[:2] == (expected, steps), "keeping something changes nothing"
    assert not listed(Folder(tmp_path)), "what is done needs no checkpoint"
    for stop in (1, 2, steps // 2 + 1):
        with pytest.raises(PowerCutError):
            trained(recipe, tmp_path, stop, **start)
    found, left, notes = trained(recipe, tmp_path, **start)
    assert found == expected
    assert left < steps, "less is done than from the beginning"
    assert any("goes on from a checkpoint" in note for note in notes)
    assert not listed(Folder(tmp_path))


@pytest.mark.usefixtures("often")
def test_what_is_wrong_is_ignored_and_told(tmp_path: Path) -> None:
    """Damaged, cut, of another seed, no file of ours: the training begins anew, or with an older checkpoint."""
    expected, steps, _ = trained(PLAIN)
    with pytest.raises(PowerCutError):
        trained(PLAIN, tmp_path, 4)
    (one,) = listed(Folder(tmp_path))
    file = tmp_path / one.info.name
    whole = file.read_bytes()
    for spoilt in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:50], b"", b"\x80\x04K\x01."):
        file.write_bytes(spoilt)
        found, taken, notes = trained(PLAIN, tmp_path)
        assert (found, taken) == (expected, steps)
        assert len(notes) == 1
        assert "is damaged" in notes[0]
        assert file.name in notes[0]
    with pytest.raises(PowerCutError):
        trained({**PLAIN, "learning_rate": 0.001}, tmp_path, 4)
    found, taken, notes = trained(PLAIN, tmp_path)
    assert (found, taken) == (expected, steps)
    assert "belongs to another training" in notes[0]
    (tmp_path / "checkpoints" / "notes.txt").write_text("not ours")
    assert not listed(Folder(tmp_path))


def test_quick_training_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(PowerCutError):
        trained(PLAIN, tmp_path, 4)
    assert not listed(Folder(tmp_path))


@pytest.mark.usefixtures("often")
def test_a_place_that_cannot_be_written_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Folder, name: str, file: Path) -> None:
        raise OSError(28, "No space left on device")

    expected = trained(PLAIN)[0]
    monkeypatch.setattr(Folder, "put", full)
    found, _, notes = trained(PLAIN, tmp_path)
    assert found == expected
    assert len(notes) == 1
    assert "No space left on device" in notes[0]


SCENARIO = """
linkbench: 1
name: long
genomes: {use: simulated, count: 60}
cohort: {use: rendered, count: 40, size: 32}
models:
  - name: m
    architecture: {use: small-cnn, width: 4, depth: 3}
    recipe: {use: standard, epochs: 12, patience: null}
attackers: [predicted]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""

OFTEN = (
    "from linkbench.api import checkpoints; checkpoints.EVERY = checkpoints.SHARE = 0.0; "
    "from linkbench.cli import main; main()"
)


@pytest.mark.slow
def test_killed_in_the_middle_and_looked_after(tmp_path: Path, run_cli: Callable[..., Finished]) -> None:
    """kill -9; the store tells of what is kept; the next run has less to do and ends with the same bytes."""
    (tmp_path / "s.yaml").write_text(SCENARIO)
    command = [sys.executable, "-c", OFTEN, "run", "s.yaml"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(store: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, "--store", store, "--out", f"out-{store}"],
            cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    run = start("killed")
    deadline = time.monotonic() + 120
    while not any(one.done >= 4 for one in listed(Folder(tmp_path / "killed"))):
        assert run.poll() is None, run.stderr.read().decode() if run.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    kept = listed(Folder(tmp_path / "killed"))
    assert kept
    shown = run_cli("store", "show", "--store", str(tmp_path / "killed")).out
    assert "1 training was interrupted" in shown
    for file in (tmp_path / "killed" / "checkpoints").iterdir():
        os.utime(file, (time.time() - 7200,) * 2)
    prune = ("store", "prune", "--dry-run", "--store", str(tmp_path / "killed"))
    assert "interrupted" not in run_cli(*prune, "--older-than", "3h").out
    assert "of trainings that were interrupted" in run_cli(*prune, "--older-than", "1h").out
    assert "damaged, unfinished" in run_cli("store", "purge", "--dry-run", "--store", str(tmp_path / "killed")).out
    errors = {}
    for store in ("killed", "whole"):
        run = start(store)
        errors[store] = run.communicate()[1].decode()
        assert run.returncode == 0
    assert "goes on from a checkpoint" in errors["killed"]
    assert "goes on" not in errors["whole"]
    for name in ("results.csv", "report.html"):
        assert (tmp_path / "out-killed" / name).read_bytes() == (tmp_path / "out-whole" / name).read_bytes()
    assert not listed(Folder(tmp_path / "killed"))


def test_only_the_own_stage_is_cleared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mine, other = (StoredCheckpoints(store.blobs, {"stage": name}) for name in ("mine", "other"))
    for place in (mine, other):
        place.keep(place.begin(), 1, Artefact({"x": np.zeros(2)}, {"origin": "here"}))
    mine.keep(0, 2, Artefact({"x": np.ones(2)}, {"origin": "here"}))
    found = mine.find(0, "here")
    assert found is not None
    assert found.array("x").sum() == 2, "the furthest"
    assert len(listed(store.blobs)) == 2, "in the place of earlier ones"
    mine.clear()
    assert [one.stage for one in listed(store.blobs)] == [other.stage]


def test_keeping_takes_a_small_part_of_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half a minute after the last, and twenty times as long as it took to write."""
    now = 100.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now)
    place = StoredCheckpoints(Folder(tmp_path), KEY)

    def slow(number: int, done: int, artefact: Artefact) -> None:
        nonlocal now
        now += 9.0

    monkeypatch.setattr(place, "write", slow)
    now = 129.0
    assert not place.due()
    now = 130.0
    assert place.due()
    place.keep(0, 1, Artefact({}, {}))
    now += 179.0
    assert not place.due()
    now += 1.0
    assert place.due()
