"""Ray carries out a run to the same bytes: started for it, or as a cluster of two machines of which one is lost."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from conftest import Finished, environment
from test_executors import EVERYTHING, everything, tables, written
from test_resume import outputs

pytest.importorskip("ray", reason="pip install 'linkbench[ray]'")

Cli = Callable[..., Finished]
__all__ = ["everything"]

pytestmark = pytest.mark.slow


class Cluster(NamedTuple):
    """Two raylets on this machine: where the cluster is, the environment to reach it, and the second raylet."""

    address: str
    environment: dict[str, str]
    second: psutil.Process


def _start(folder: Path, given: dict[str, str], *arguments: str) -> list[psutil.Process]:
    """Start a node of Ray in a folder of its own; the processes that it consists of."""
    folder.mkdir()
    before = set(psutil.pids())
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", *arguments]
    ray += ["--num-cpus=1", "--object-store-memory=83886080", "--disable-usage-stats"]
    done = subprocess.run(ray, cwd=folder, env=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = []
    for pid in set(psutil.pids()) - before:
        try:
            process = psutil.Process(pid)
            if process.environ().get("RAY_AUTH_TOKEN_PATH") == given["RAY_AUTH_TOKEN_PATH"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    (folder / "token").write_text(secrets.token_hex(32))
    given = {
        **environment(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = _start(folder / "one", given, "--head", f"--port={port}", "--include-dashboard=false")
    try:
        second = _start(folder / "two", given, f"--address=127.0.0.1:{port}")
        started += second
        raylet = next(process for process in second if process.name() == "raylet")
        yield Cluster(f"127.0.0.1:{port}", given, raylet)
    finally:
        for process in started:
            try:
                process.kill()
            except psutil.Error:
                continue


def run_on(cluster: Cluster, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "linkbench", "run", "s.yaml", "--store", "store", "--out", "out"]
    command += ["--executor", "ray", "--address", cluster.address, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_ray_that_is_started_for_the_run(home: Path, spawn: Cli) -> None:
    Path("t.yaml").write_text(tables("predicted", "random"))
    done = spawn("run", "t.yaml", "--executor", "ray", "--workers", "2", "--out", "ray", "--store", "ray-store")
    assert done.status == 0, done.err
    assert done.out.splitlines()[1].startswith("tables: "), "nothing of Ray's is on standard output"
    alone = spawn("run", "t.yaml", "--workers", "1", "--out", "one", "--store", "one-store")
    assert alone.status == 0, alone.err
    assert outputs(home / "ray") == outputs(home / "one")


def test_a_worker_with_other_code_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """The run takes the key of another text of a module for that of its own."""
    (tmp_path / "s.yaml").write_text(tables("predicted"))
    script = (
        "from linkbench.registry import code_digest as code\n"
        "real = code.facts\n"
        "other = code.find('linkbench.stages.evidence')\n"
        "code.facts = lambda one: real(one)._replace(digest='another') if one == other else real(one)\n"
        "import linkbench as lb\n"
        f"lb.run('s.yaml', executor={{'use': 'ray', 'address': '{cluster.address}'}}, store='store', out='out')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=cluster.environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "WorkerError: a worker cannot carry out " in done.stderr
    assert "it has other code than the run: the code of linkbench.stages." in done.stderr
    assert not (tmp_path / "out").exists()


def test_two_machines_of_which_one_is_lost(cluster: Cluster, tmp_path: Path, everything: dict[str, Any]) -> None:
    """Both work in the first run; the second one's raylet is killed in the second run, which ends all the same."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        (folder / "s.yaml").write_text(EVERYTHING)
        run = run_on(cluster, folder)
        if folder is folders[1]:
            until = time.monotonic() + 60
            while len(list(folder.glob("store/keys/*/*.json"))) < 8 and time.monotonic() < until:
                time.sleep(0.02)
            os.kill(cluster.second.pid, signal.SIGKILL)
        _, errors = run.communicate(timeout=180)
        assert run.returncode == 0, errors
        assert written(folder / "out") == everything
