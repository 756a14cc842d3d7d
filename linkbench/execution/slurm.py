"""Slurm carries out the stages, through submitit: stages that are ready at the same time are one array of jobs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from linkbench.api.base import Executor
from linkbench.api.executor import Job, JobReport, Progress, Site, WorkerLostError, Workers
from linkbench.api.resources import Resources
from linkbench.errors import MissingExtraError, WorkerError
from linkbench.execution.job import worker_name
from linkbench.execution.local import teller

TELL = 2.0
"""Seconds between two words about how far a job is; they lie in files that the machines share."""

LOOK = 0.2
"""Seconds between two looks for jobs that have ended."""

END = 10.0
"""Seconds that jobs have to end once they have been cancelled."""


class Slurm(Executor):
    """Jobs of a cluster with Slurm; its machines must all see the store, and the folder of the jobs."""

    workers: Annotated[int, Field(ge=1, le=10_000, description="jobs that are in the queue or at work at once")] = 64
    partition: str | None = Field(None, description="partition of the jobs; by default that of the cluster")
    minutes: Annotated[int, Field(ge=1, le=100_000, description="longest time of a job")] = 60
    folder: str = Field("linkbench-jobs", description="folder for what jobs are given, say and print")
    cluster: Literal["slurm", "local"] = Field("slurm", description="`local`: processes on this machine, to try it")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"cluster": "local", "workers": 2, "folder": str(folder / "jobs")}

    def start(self, site: Site) -> Workers:
        try:
            import submitit
        except ImportError:
            raise MissingExtraError("The executor slurm", "submitit", "slurm") from None
        try:
            executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster)
        except RuntimeError as error:
            raise WorkerError(f"Slurm cannot be used here: {error}. Start the run on a machine with srun") from None
        options = {} if self.cluster == "local" or self.partition is None else {"slurm_partition": self.partition}
        executor.update_parameters(timeout_min=self.minutes, name="linkbench", **options)
        return _Jobs(executor, Path(self.folder).absolute(), self.workers)


def _carry(work: Any, job: str, file: Path) -> JobReport:
    """In a job: carry out a stage; how far it is stands in a file."""
    name = worker_name()

    def send(word: tuple[Any, ...]) -> None:
        beside = file.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps([name, *word]))
        os.replace(beside, file)

    report: JobReport = work(teller(job, send, TELL))
    return report


class _Handed(NamedTuple):
    """A job that was handed in: what it is, who waits for it, and the file that tells how far it is."""

    job: Job
    told: Future[JobReport]
    file: Path


class _Jobs(Workers):
    """The jobs of one run."""

    def __init__(self, executor: Any, folder: Path, capacity: int) -> None:
        self.executor, self.folder, self.capacity = executor, folder, capacity
        self.waiting: list[_Handed] = []
        self.running: dict[str, tuple[_Handed, Any]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        """Of jobs on this machine: they have an answer a little before they end."""
        self.looked = self.read = 0.0

    def accepts(self, resources: Resources) -> bool:
        return resources.cores > 0 and len(self.waiting) + len(self.running) < self.capacity

    def submit(self, job: Job) -> Future[JobReport]:
        told: Future[JobReport] = Future()
        name = f"{job.id.replace('/', '-')}-{os.getpid()}.progress"
        self.waiting.append(_Handed(job, told, self.folder / name))
        return told

    def progress(self) -> Iterator[Progress]:
        self._hand_in()
        now = time.monotonic()
        if now - self.looked >= LOOK:
            self.looked = now
            for job in list(self.running):
                self._look(job)
        if now - self.read >= TELL / 2:
            self.read = now
            for handed, _ in list(self.running.values()):
                with contextlib.suppress(OSError, ValueError):  # it has not begun
                    worker, job, done, total, at = json.loads(handed.file.read_text())
                    yield Progress(job, worker, done, total, at)

    def _hand_in(self) -> None:
        """Submit what was handed in since the last time: what needs the same is one array."""
        waiting, self.waiting = self.waiting, []
        for needs in dict.fromkeys(handed.job.resources for handed in waiting):
            alike = [handed for handed in waiting if handed.job.resources == needs]
            memory = {"mem_gb": max(1, -(-needs.memory // (1 << 30)))} if needs.memory else {}
            self.executor.update_parameters(
                cpus_per_task=max(1, needs.cores), gpus_per_node=1 if needs.gpu else 0, **memory
            )
            with self.executor.batch():
                jobs = [
                    self.executor.submit(partial(_carry, handed.job.work, handed.job.id, handed.file))
                    for handed in alike
                ]
            self.processes += [job._process for job in jobs if hasattr(job, "_process")]
            self.running |= {handed.job.id: (handed, job) for handed, job in zip(alike, jobs, strict=True)}

    def _look(self, name: str) -> None:
        """A job may have ended."""
        _, job = self.running[name]
        if not job.done():
            return
        error = job.exception()
        if error is None:
            self._tell(name, job.result(), None)
        else:
            said = str(error).strip().splitlines() or [type(error).__name__]
            self._tell(name, None, WorkerLostError(f"job {job.job_id} ended without an answer: {said[-1][:300]}"))

    def _tell(self, name: str, report: JobReport | None, error: WorkerLostError | None) -> None:
        handed, _ = self.running.pop(name)
        handed.file.unlink(missing_ok=True)
        if report is not None:
            handed.told.set_result(report)
        else:
            handed.told.set_exception(error)

    def stop(self, job: str) -> None:
        self._hand_in()
        if job in self.running:
            _, submitted = self.running[job]
            submitted.cancel(check=False)
            self._tell(job, None, WorkerLostError(f"job {submitted.job_id} was cancelled"))

    def close(self) -> None:
        self.waiting.clear()
        left = [submitted for _, submitted in self.running.values()]
        for name in list(self.running):
            self.stop(name)
        until = time.monotonic() + END
        while any(not submitted.done() for submitted in left) and time.monotonic() < until:
            time.sleep(0.05)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END)
