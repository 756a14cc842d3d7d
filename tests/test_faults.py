"""Whatever is killed, and whenever, a run or the next one ends with the same bytes; a full disk loses nothing."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import environment
from test_executors import tables
from test_resume import outputs

TEXT = tables("predicted", "{use: likelihood}", "random")

KILLS = int(os.environ.get("LINKBENCH_KILLS", "2"))
"""So many runs are disturbed; thirty were tried once."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = start(folder).communicate(timeout=120)
    assert (folder / "out").is_dir(), done
    return outputs(folder / "out")


def start(folder: Path, **more: Any) -> subprocess.Popen[str]:
    """A run with two workers in a folder."""
    (folder / "s.yaml").write_text(TEXT)
    command = [sys.executable, "-m", "linkbench", "run", "s.yaml", "--workers", "2", "--store", "store", "--out", "out"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(), **pipes, **more)


def leaves(pid: int) -> list[psutil.Process]:
    """The processes below one that have none below themselves; some may end while they are looked for."""
    try:
        return [each for each in psutil.Process(pid).children(recursive=True) if not each.children()]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("seed", range(KILLS))
def test_workers_and_drivers_that_are_killed_at_random(tmp_path: Path, undisturbed: dict[str, Any], seed: int) -> None:
    """Each moment is drawn between the entries that the store gains; a worker is killed, then the driver."""
    chance = random.Random(seed)
    for victim in chance.sample(["worker", "driver"], 2):
        run = start(tmp_path)
        entries = len(list(tmp_path.glob("store/keys/*/*.json"))) + chance.randint(0, 12)
        until = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < until:
            workers = leaves(run.pid)
            if workers and len(list(tmp_path.glob("store/keys/*/*.json"))) >= entries:
                time.sleep(chance.uniform(0, 0.05))
                os.kill(run.pid if victim == "driver" else chance.choice(workers).pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        _, errors = run.communicate(timeout=120)
        if victim == "worker":
            assert run.returncode == 0, errors
    last = start(tmp_path)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert outputs(tmp_path / "out") == undisturbed


def test_a_disk_that_is_full_fails_what_meets_it_and_loses_nothing(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """The system refuses files above 5,800 bytes, to workers and driver, as it would refuse what no longer fits."""
    run = start(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5_800, 5_800)))
    _, errors = run.communicate(timeout=120)
    assert run.returncode in (1, 2)
    assert "cannot be written: File too large. Free some space" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "results.csv").exists()
    again = start(tmp_path)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert outputs(tmp_path / "out") == undisturbed
