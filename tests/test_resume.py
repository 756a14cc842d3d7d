"""A run may be killed, raced and damaged: what it writes in the end is the same to the byte."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished

from linkbench.results.folder import previous_run

Cli = Callable[..., Finished]
MANY = """
linkbench: 1
name: many
genomes: {use: simulated, count: [500, 800]}
cohort: {use: sampled, count: 200}
attackers: [predicted, calibrated, random]
measure: {top_k: [1, 5], sizes: [10, {from: 20, to: all, factor: 2}], resamples: 200}
"""
FEW = """
linkbench: 1
name: few
genomes: {use: simulated, count: 300}
cohort: {use: sampled, count: 50}
attackers: [predicted]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""
OTHER = ("--set", "attackers=[predicted, soft]")
"""Another attacker must read the genomes, the cohort and the predictions again."""


def outputs(folder: Path) -> dict[str, Any]:
    """Every file of a results folder; of run.json what does not tell of time and of what was computed when."""
    found: dict[str, Any] = seen(folder)
    run = json.loads(found["run.json"])
    for step in run["steps"].values():
        for name in ("seconds", "computed", "changed"):
            step.pop(name, None)
    for cell in run["cells"]:
        cell.pop("seconds_per_photo")
    return {**found, "run.json": run}


def runs(folder: Path, kills: list[tuple[str, float] | None], within: tuple[str, ...] = ("store", "out")) -> list[int]:
    """Exit statuses of runs of `s.yaml` one after the other, each killed or (None) left to finish."""
    command = ["run", "s.yaml", "--store", str(folder / "store"), "--out", str(folder / "out")]
    task = {"command": command, "kills": kills, "folders": [str(folder / name) for name in within]}
    script = [sys.executable, str(Path(__file__).parent / "killed_runs.py")]
    done = subprocess.run(script, cwd=folder, input=json.dumps(task), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of MANY writes if nobody disturbs it."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "s.yaml").write_text(MANY)
    assert runs(folder, [None]) == [0]
    return outputs(folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, reference: dict[str, Any], seed: int) -> None:
    """Killed between any two things done to files, at random, and at random times; restarted each time."""
    (tmp_path / "s.yaml").write_text(MANY)
    chance = random.Random(seed)
    kills: list[tuple[str, float] | None] = [("step", chance.randint(3, 90)) for _ in range(5)]
    kills += [("seconds", chance.uniform(0.02, 0.4)) for _ in range(3)]
    statuses = runs(tmp_path, [*kills, None])
    assert statuses.count(-9) >= 4
    assert statuses[-1] == 0
    assert outputs(tmp_path / "out") == reference


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_while_it_writes_results_leaves_whole_files(tmp_path: Path, seed: int) -> None:
    (tmp_path / "s.yaml").write_text(FEW)
    assert runs(tmp_path, [None]) == [0]
    expected = outputs(tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "first")
    step = random.Random(seed).randint(4, 16)
    assert runs(tmp_path, [("step", step)], within=("out",)) == [-9]
    found = seen(tmp_path / "out")
    assert set(found) < set(expected)
    assert all(content == expected[name] for name, content in found.items() if name != "run.json")
    assert runs(tmp_path, [None]) == [0]
    assert outputs(tmp_path / "out") == expected


def seen(folder: Path) -> dict[str, bytes]:
    """The files in a folder by name, without those that are still being written."""
    names = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_while_it_replaces_results_leaves_the_old_or_the_new(tmp_path: Path, seed: int) -> None:
    (tmp_path / "s.yaml").write_text(FEW)
    other = FEW.replace("top_k: [1", "top_k: [2")
    assert other != FEW
    results = []
    for text in (FEW, other):
        (tmp_path / "s.yaml").write_text(text)
        assert runs(tmp_path, [None]) == [0]
        results.append(outputs(tmp_path / "out"))
    step = random.Random(seed).randint(4, 60)
    (tmp_path / "s.yaml").write_text(FEW)
    assert set(runs(tmp_path, [("step", step)], within=("out",))) <= {0, -9}
    previous_run(tmp_path / "out")  # whoever looks puts what is whole in its place
    assert outputs(tmp_path / "out") in results
    assert runs(tmp_path, [None]) == [0]
    assert outputs(tmp_path / "out") == results[0]


@pytest.mark.slow
def test_two_runs_at_once_share_a_store(tmp_path: Path, reference: dict[str, Any]) -> None:
    (tmp_path / "s.yaml").write_text(MANY)
    command = [sys.executable, "-m", "linkbench", "run", "s.yaml", "--store", "store"]
    both = [
        subprocess.Popen([*command, "--out", out], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for out in ("one", "other")
    ]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert outputs(tmp_path / "one") == outputs(tmp_path / "other") == reference
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


def stored(folder: Path) -> dict[str, bytes]:
    """Every object of the store."""
    return {path.name: path.read_bytes() for path in folder.glob("objects/*/*")}


@pytest.mark.slow
def test_every_damaged_object_is_noticed_and_repaired(run_cli: Cli, tmp_path: Path) -> None:
    Path("s.yaml").write_text(FEW)
    assert run_cli("run", "s.yaml", *OTHER, "--store", "clean", "--out", "clean-out").status == 0
    expected, whole = outputs(Path("clean-out")), stored(Path("clean"))
    chance = random.Random(3)
    assert run_cli("run", "s.yaml", "--store", "s0").status == 0
    stages = json.loads(Path("results/few/run.json").read_text())["steps"].values()
    assert sorted(step["stage"] for step in stages) == ["cohort", "genomes", "measure", "predict", "rank"]
    for number, step in enumerate(stages):
        store = Path(f"store-{number}")
        assert run_cli("run", "s.yaml", "--store", store).status == 0
        damaged = store / "objects" / step["digest"][:2] / f"{step['digest']}.safetensors"
        flip(damaged, chance.random())
        done = run_cli("run", "s.yaml", *OTHER, "--store", store, "--out", f"out-{number}")
        assert done.status == 0, done.err
        assert f"note: {step['label']} was damaged in the store and is now " in done.err
        assert stored(store) == whole
        assert outputs(Path(f"out-{number}")) == expected


def test_every_damaged_key_is_noticed_and_repaired(run_cli: Cli) -> None:
    Path("s.yaml").write_text(FEW)
    assert run_cli("run", "s.yaml", "--store", "store").status == 0
    expected, whole = outputs(Path("results/few")), stored(Path("store"))
    chance = random.Random(4)
    keys = sorted(Path("store").glob("keys/*/*"))
    assert len(keys) == 5
    for key in keys:
        flip(key, chance.random())
        done = run_cli("run", "s.yaml", "--store", "store")
        assert done.status == 0
        assert "5 stages, 1 computed, 4 from the store." in done.out
        assert outputs(Path("results/few")) == expected
    assert stored(Path("store")) == whole


@pytest.mark.slow
def test_all_objects_gone_or_empty_at_once(run_cli: Cli) -> None:
    Path("s.yaml").write_text(FEW)
    assert run_cli("run", "s.yaml", "--store", "store").status == 0
    expected, whole = outputs(Path("results/few")), stored(Path("store"))
    for number, path in enumerate(sorted(Path("store").glob("objects/*/*"))):
        path.unlink() if number % 2 else path.write_bytes(b"")
    assert run_cli("run", "s.yaml", "--store", "store").status == 0
    assert outputs(Path("results/few")) == expected
    assert run_cli("run", "s.yaml", *OTHER, "--store", "store").status == 0
    assert set(whole) <= set(stored(Path("store")))


def test_what_killed_runs_left_in_the_store_is_swept_after_a_day(run_cli: Cli) -> None:
    Path("s.yaml").write_text(FEW)
    (Path("store") / "tmp").mkdir(parents=True)
    old, young = Path("store/tmp/old.safetensors"), Path("store/tmp/young.safetensors")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert run_cli("run", "s.yaml", "--store", "store").status == 0
    assert (old.exists(), young.exists()) == (False, True)
