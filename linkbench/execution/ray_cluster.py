"""Ray carries out the stages: a small one that is started for the run on this machine, or a cluster that is there."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

from pydantic import Field

from linkbench.api.base import Executor
from linkbench.api.cores import cores
from linkbench.api.executor import Job, JobReport, Progress, Site, WorkerLostError, Workers
from linkbench.api.resources import Resources
from linkbench.errors import MissingExtraError, WorkerError
from linkbench.execution.job import worker_name
from linkbench.execution.local import Workforce, teller

TELL = 1.0
"""Seconds between two words about how far a job is, and between two questions for them."""

AHEAD = 2
"""Jobs that are handed in for each one that can be at work, so that no core waits for the next."""

MEMORY = 80 << 20
"""Bytes of Ray's own memory for objects where Ray is started here: nothing of size travels through it."""


class Ray(Executor):
    """Ray on this machine, or a cluster whose machines all see the store and have the same linkbench and plugins."""

    workers: Workforce = Field(
        "auto", description="cores of the Ray that is started here; `auto`: as many as may be used. Not for a cluster"
    )
    address: str | None = Field(
        None, description="HOST:PORT of a cluster, or `auto` for the one that runs on this machine; else one is started"
    )

    def start(self, site: Site) -> Workers:
        # Ray reads these when it is imported: it tells nobody that it is used, and starts no other Python
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        try:
            import ray
        except ImportError:
            raise MissingExtraError("The executor ray", "ray", "ray") from None
        mine = not ray.is_initialized()
        if mine:
            number = cores() if self.workers == "auto" else int(self.workers)
            here: dict[str, Any] = {
                "address": "local",
                "num_cpus": number,
                "include_dashboard": False,
                "object_store_memory": MEMORY,
            }
            try:
                ray.init(
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    namespace="linkbench",
                    **(here if self.address is None else {"address": self.address}),
                )
            except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
                where = "on this machine" if self.address is None else f"at {self.address}"
                raise WorkerError(f"Ray {where} cannot be used: {error}") from None
            # it would print on standard output, among linkbench's tables, what the run is told anyway
            cast(Any, ray)._private.worker.print_to_stdstream = _to_nobody
        return _Cluster(ray, mine)


def _to_nobody(*told: Any, **more: Any) -> None:
    """Hears what Ray says of its workers."""


class _Board:
    """An actor on which jobs write how far they are."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def tell(self, *word: Any) -> None:
        self.said.append(word)

    def take(self) -> list[tuple[Any, ...]]:
        """What has been said since this was last asked."""
        said, self.said = self.said, []
        return said


def _carry(job: str, work: Any, board: Any) -> JobReport:
    """In a worker of Ray: carry out a job."""
    name = worker_name()

    def send(word: tuple[Any, ...]) -> None:
        board.tell.remote(name, *word)

    report: JobReport = work(teller(job, send, TELL))
    return report


class _Cluster(Workers):
    """The workers of a Ray that this process is connected to."""

    def __init__(self, ray: Any, mine: bool) -> None:
        self.ray, self.mine = ray, mine
        self.capacity = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.carry = ray.remote(_carry)
        self.board = ray.remote(_Board).options(num_cpus=0).remote()
        self.refs: dict[str, Any] = {}
        self.asked: Any = None
        self.heard = 0.0

    def accepts(self, resources: Resources) -> bool:
        return len(self.refs) < AHEAD * self.capacity

    def submit(self, job: Job) -> Future[JobReport]:
        needs = job.resources
        carry = self.carry.options(
            num_cpus=min(max(1, needs.cores), self.capacity),
            num_gpus=needs.gpu or None,
            memory=needs.memory or None,
            max_retries=0,  # the run tries again, and says so
            name=job.label,
        )
        ref = self.refs[job.id] = carry.remote(job.id, job.work, self.board)
        told: Future[JobReport] = Future()
        ref.future().add_done_callback(partial(self._ended, job.id, told))
        return told

    def _ended(self, job: str, told: Future[JobReport], done: Future[JobReport]) -> None:
        self.refs.pop(job, None)
        error = done.exception()
        if error is None:
            told.set_result(done.result())
        elif isinstance(error, self.ray.exceptions.RayTaskError):
            told.set_exception(error)
        else:
            told.set_exception(WorkerLostError(" ".join(str(error).split())[:500] or type(error).__name__))

    def progress(self) -> Iterator[Progress]:
        if self.asked is None and time.monotonic() - self.heard >= TELL:
            self.heard = time.monotonic()
            self.asked = self.board.take.remote()
        if self.asked is None or not self.ray.wait([self.asked], timeout=0)[0]:
            return
        asked, self.asked = self.asked, None
        with contextlib.suppress(self.ray.exceptions.RayError):  # its machine may be gone
            for worker, job, done, total, at in self.ray.get(asked):
                yield Progress(job, worker, done, total, at)

    def stop(self, job: str) -> None:
        ref = self.refs.get(job)
        if ref is not None:
            self.ray.cancel(ref, force=True)

    def close(self) -> None:
        for job in list(self.refs):
            self.stop(job)
        self.ray.kill(self.board)
        if self.mine:
            self.ray.shutdown()
