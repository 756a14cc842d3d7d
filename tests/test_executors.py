"""Whoever carries out the stages, the results are the same bytes; whoever dies loses no more than his own rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import psutil
import pytest
import trivial_stages
from conftest import Finished, environment
from test_plugins import hook
from test_resume import outputs
from threadpoolctl import threadpool_info, threadpool_limits

import linkbench as lb
from linkbench.api.cores import BLAS, one_blas_thread
from linkbench.api.executor import Job, WorkerLostError
from linkbench.api.resources import Resources
from linkbench.execution import local
from linkbench.execution.choice import chosen
from linkbench.execution.run import Run
from linkbench.store.store import Store
from linkbench.testing.executors import answer, hang

Cli = Callable[..., Finished]

EVERYTHING = """
linkbench: 1
name: everything
seed: 3
cohort: {use: rendered, count: 40, size: 32}
genomes: {use: simulated, count: 120}
models:
  - {name: plain, architecture: {use: small-cnn, width: 4, depth: 3}, recipe: {use: standard, epochs: 1}}
poisons: {use: shortcut, pattern: rademacher, phenotype: sex, epsilon: 0.03}
defenders: [none, {use: joint-pgd, epsilon: 0.02, steps: 2}]
channels: [png]
attackers: [predicted, {use: likelihood, learns: [clean, protected]}]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""
"""Every kind of stage of a linkage: genomes, cohort, poison, rule, train, protect, publish, quality, predict, rank."""

TABLES = """
linkbench: 1
name: tables
genomes: {use: simulated, count: [40, 50, 60]}
cohort: {use: sampled, count: 30}
attackers: [ATTACKERS]
measure: {top_k: [1], sizes: [10], resamples: 100}
"""


def tables(*attackers: str) -> str:
    return TABLES.replace("ATTACKERS", ", ".join(attackers))


def written(folder: Path) -> dict[str, Any]:
    """Every file of a results folder, without what tells of time."""
    found = outputs(folder)
    for cell in found["run.json"]["cells"]:
        cell.pop("poison_seconds_per_photo")
    return found


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of EVERYTHING writes that carries out every stage itself, one after the other."""
    folder = tmp_path_factory.mktemp("everything")
    lb.run(EVERYTHING, store=folder / "store", out=folder / "out", workers=1)
    found = written(folder / "out")
    assert {step["stage"] for step in found["run.json"]["steps"].values()} >= {
        "genomes", "cohort", "poison", "rule", "train", "protect", "publish", "quality", "predict", "rank", "measure",
        "curves",
    }  # fmt: skip
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_the_same_bytes_from_any_number_of_workers(tmp_path: Path, everything: dict[str, Any], workers: int) -> None:
    results = lb.run(EVERYTHING, store=tmp_path / "store", out=tmp_path / "out", workers=workers)
    assert not results.failed
    assert written(tmp_path / "out") == everything


@pytest.mark.slow
def test_the_command_takes_workers_and_a_script_needs_no_guard(tmp_path: Path, home: Path, spawn: Cli) -> None:
    """A worker does not import the program that started it, which would start a run of its own."""
    Path("t.yaml").write_text(tables("predicted", "random"))
    Path("script.py").write_text("import linkbench as lb\nlb.run('t.yaml', workers=2, out='two', store='two-store')\n")
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    ran = spawn("run", "t.yaml", "--workers", "2", "--out", "command", "--store", "command-store")
    assert ran.status == 0, ran.err
    alone = spawn("run", "t.yaml", "--workers", "1", "--out", "one", "--store", "one-store")
    assert alone.status == 0, alone.err
    assert outputs(home / "two") == outputs(home / "command") == outputs(home / "one")
    cached = spawn("run", "t.yaml", "--workers", "2", "--store", "one-store", "--out", "again")
    assert " 0 computed" in cached.out


@pytest.mark.slow
def test_libraries_of_linear_algebra_compute_on_one_thread(
    home: Path, spawn: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of these sizes had other last bits on two threads; a machine with one core shows nothing."""
    Path("s.yaml").write_text(
        "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\nattackers: [predicted, soft]\n"
    )
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        done = spawn("run", "s.yaml", "--workers", "1", "--store", f"store{threads}", "--out", threads)
        assert done.status == 0, done.err
    assert (home / "1/results.csv").read_bytes() == (home / "2/results.csv").read_bytes()


def test_the_environment_is_as_it_was_once_a_run_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("BLIS_NUM_THREADS", raising=False)
    before = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
    with one_blas_thread():
        assert {os.environ[name] for name in BLAS} == {"1"}
        assert all(each["num_threads"] == 1 for each in threadpool_info() if each["user_api"] == "blas")
    assert (os.environ["OPENBLAS_NUM_THREADS"], "BLIS_NUM_THREADS" in os.environ) == ("7", False)
    assert {each["filepath"]: each["num_threads"] for each in threadpool_info()} == before


def test_an_environment_that_came_after_numpy_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    with threadpool_limits(2, "blas"):
        for name, value in BLAS.items():
            monkeypatch.setenv(name, value)
        with one_blas_thread():
            assert all(each["num_threads"] == 1 for each in threadpool_info() if each["user_api"] == "blas")


@pytest.mark.slow
def test_two_workers_and_a_bucket_give_the_bytes_of_a_folder(
    bucket: Any, tmp_path: Path, everything: dict[str, Any]
) -> None:
    """Workers and driver have a cache folder in common and nothing else."""
    lb.run(EVERYTHING, store=f"s3://{bucket.name}/p", out=tmp_path / "out", workers=2)
    assert written(tmp_path / "out") == everything


@pytest.mark.slow
def test_a_stage_that_takes_its_process_along_is_named_and_loses_nothing_else(tmp_path: Path) -> None:
    run = Run(trivial_stages.plan(6, "crash", "leave"), Store(tmp_path), executor=local.Local(workers=2))
    run.execute()
    assert {run.plan.steps[id_].stage for id_ in run.records} == {"number"}
    assert len(run.records) == 6
    assert {failure.stage: failure.reason for failure in run.failures.values()} == {
        "crash": "its worker ended before it did, 2 times: its process was ended by signal 11 (SIGSEGV)",
        "leave": "its worker ended before it did, 2 times: its process ended with exit status 0",
    }


HANGS = """
import time
from linkbench.api.base import Attacker


class Good(Attacker):
    def score(self, evidence, genomes, learned):
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""


@pytest.mark.slow
def test_a_stage_that_cannot_be_interrupted_is_ended_with_its_worker(
    home: Path, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from linkbench.execution import schedule

    monkeypatch.setattr(schedule, "GRACE", 0.2)
    fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": HANGS})
    begun = time.monotonic()
    results = lb.run(tables("predicted", "good"), workers=2, limit=2, store=home / "store")
    assert time.monotonic() - begun < 60
    assert {failed.reason for failed in results.failed} == {
        "took longer than 2 seconds, the limit of a stage; give it more with --limit"
    }
    assert {row.attacker for row in results.rows} == {"predicted"}


def test_what_the_store_lost_is_computed_again_by_workers(home: Path) -> None:
    text = tables("predicted", "random")
    lb.run(text, workers=1, store=home / "store", out=home / "one")
    lost = sorted((home / "store" / "objects").rglob("*.safetensors"))[::2]
    for path in lost:
        path.write_bytes(path.read_bytes()[:-1])
    more = text.replace("random]", "random, ground-truth]")
    notes: list[str] = []

    class Watcher:
        def begin(self, step: Any, label: str, worker: str) -> None:
            return None

        def note(self, label: str, text: str) -> None:
            notes.append(text)

        def end(self, step: Any, label: str, outcome: Any) -> None:
            pass

    results = lb.run(more, workers=2, store=home / "store", progress=Watcher())
    assert not results.failed
    assert notes
    assert all("was damaged in the store and is now" in text for text in notes)
    assert {row.attacker for row in results.rows} == {"predicted", "random", "ground-truth"}


def _job(name: str, work: Any, cores: int = 1) -> Job:
    return Job(name, name, Resources(cores=cores), work)


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced() -> None:
    with local.Processes(2) as workers:
        first = workers.submit(_job("first", partial(answer, "1")))
        assert first.result().digest == "1"
        worker = workers.places[0]
        assert worker is not None
        assert worker.process is not None
        os.kill(worker.process.pid or 0, signal.SIGKILL)  # idle
        worker.process.join()
        assert workers.submit(_job("second", partial(answer, "2"))).result().digest == "2"
        busy = workers.submit(_job("busy", hang))
        while not list(workers.progress()):
            time.sleep(0.01)
        again = workers.places[0]
        assert again is not None
        assert again.process is not None
        os.kill(again.process.pid or 0, signal.SIGKILL)
        wait([busy])
        assert isinstance(busy.exception(), WorkerLostError)
        assert "SIGKILL" in str(busy.exception())
        assert workers.submit(_job("third", partial(answer, "3"))).result().digest == "3"
    assert not any(again.process.is_alive() for again in [again] if again.process)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a server on Linux alone")
@pytest.mark.parametrize("times", [1, 99])
def test_a_worker_is_started_anew_whose_server_is_killed_meanwhile(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The server is gone when it is asked what process it made; where it always is, the worker is lost, not the run."""
    ask, left = forkserver.read_signed, [times]

    def killed(descriptor: int) -> int:
        if left[0]:
            left[0] -= 1
            os.kill(ask(descriptor), signal.SIGKILL)
            raise EOFError("unexpected EOF")
        return ask(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", killed)
    with local.Processes(1) as workers:
        found = workers.submit(_job("first", partial(answer, "1")))
        if times == 1:
            assert found.result().digest == "1"
        else:
            assert "could not be started" in str(found.exception())
        assert not workers.needs


def test_jobs_may_end_while_it_is_asked_what_fits() -> None:
    """Jobs end in threads of their pools; the run asks for more in its own."""
    workers = local.Processes(4)
    ending = True

    def begin_and_end() -> None:
        number = 0
        while ending:
            workers.needs[f"job {number}"] = Resources(cores=1)
            workers.needs.pop(f"job {number - 50}", None)
            number += 1

    thread = threading.Thread(target=begin_and_end)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(2_000):
            workers.accepts(Resources(cores=1))
    finally:
        ending = False
        thread.join()
        sys.setswitchinterval(before)


def test_a_job_of_several_cores_takes_the_place_of_as_many() -> None:
    with local.Processes(4) as workers:
        workers.needs["a"] = Resources(cores=3)
        assert workers.accepts(Resources(cores=1))
        assert workers.accepts(Resources(cores=0))
        assert not workers.accepts(Resources(cores=2))
        workers.needs["b"] = Resources(cores=0)
        assert not workers.accepts(Resources(cores=1)), "a stage without a core needs a worker, too"
        workers.needs.clear()
        assert workers.accepts(Resources(cores=16)), "what asks for more than there is gets all there is"


class _Torch:
    class cuda:
        @staticmethod
        def device_count() -> int:
            return 3


@pytest.mark.parametrize(
    ("named", "expected"),
    [("", ["0", "1", "2"]), ("4,5,7", ["4", "5", "7"]), ("GPU-a, GPU-b,GPU-c,GPU-d", ["GPU-a", "GPU-b", "GPU-c"])],
)
def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch, named: str, expected: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", _Torch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert local.visible_gpus("cuda") == expected
    assert local.visible_gpus("cuda:1") == local.visible_gpus("cpu") == []
    started = local.Local(workers="auto").start(lb.Site("cuda", 10, ()))
    assert isinstance(started, local.Processes)
    assert (started.capacity, started.gpus) == (3, expected)


@pytest.mark.slow
def test_a_worker_is_told_of_its_gpu_before_it_begins() -> None:
    with local.Processes(2, gpus=["5"]) as workers:
        jobs = [workers.submit(_job(name, environment_of_worker)) for name in ("a", "b")]
        assert {job.result().digest for job in jobs} == {"5"}


def environment_of_worker(tell: Any) -> lb.JobReport:
    time.sleep(0.2)
    return lb.JobReport(digest=os.environ["CUDA_VISIBLE_DEVICES"])


def test_executors_are_chosen_by_name_and_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("local", 3) == local.Local(workers=3)
    assert chosen({"use": "local", "workers": 2}) == local.Local(workers=2)
    assert chosen(local.Local(workers=5)).model_dump() == {"workers": 5}
    monkeypatch.setenv("LINKBENCH_WORKERS", "7")
    assert chosen("local") == local.Local(workers=7)
    assert chosen("local", 2) == local.Local(workers=2)
    monkeypatch.setenv("LINKBENCH_WORKERS", "auto")
    assert chosen("local") == local.Local(workers="auto")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--executor", "locale"), "there is no executor 'locale'; did you mean 'local'?"),
        (("--workers", "none"), "executor 'local': workers: expected a whole number from 1 to 10000, or auto, found"),
        (("--workers", "0"), "executor 'local': workers: expected a whole number from 1 to 10000, or auto, found"),
        (("--address", "here"), "executor 'local': address: unknown key; known: workers"),
        (("--with", "worker=2"), "executor 'local': worker: unknown key; did you mean 'workers'?"),
    ],
)
def test_a_wrong_executor_is_refused_in_time(run_cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    Path("t.yaml").write_text(tables("predicted"))
    done = run_cli("run", "t.yaml", *arguments)
    assert done.status == 2
    assert said in done.err
    assert not Path("results").exists()


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_run(home: Path, fake_plugin: Any, end: signal.Signals) -> None:
    """Whether the user interrupts it or somebody kills it; the next run goes on from there."""
    plugin = HANGS.replace("while True", "for _ in range(1)").replace(
        "except BaseException", "except ZeroDivisionError"
    )
    site = fake_plugin("pkg", {"__init__.py": hook(), "plugin.py": plugin})
    Path("t.yaml").write_text(tables("predicted", "good"))
    command = [sys.executable, "-m", "linkbench", "run", "t.yaml", "--workers", "2"]
    run = subprocess.Popen(command, env=environment(site), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(list((home.parent / "store" / "keys").rglob("*.json"))) < 9 and time.monotonic() < until:
        time.sleep(0.05)
    left = children(run.pid)
    assert len(left) >= 2
    run.send_signal(end)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == (-9 if end is signal.SIGKILL else 130), errors
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
    assert "Traceback" not in errors
    Path("t.yaml").write_text(tables("predicted"))
    again = subprocess.run(command, env=environment(site), capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0
    state = json.loads((home / "results" / "tables" / "run.json").read_text())
    assert not all(step["computed"] for step in state["steps"].values())
