"""Processes on this machine carry out the stages, one each at a time.

Each worker is a pool of one process: if it dies, it is known which stage it was at. Processes are started from a clean
one that has imported what most stages need and nothing of linkbench, so that they begin quickly and with the code of
now. They end with the process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from linkbench.api.base import Executor
from linkbench.api.cores import cores
from linkbench.api.executor import Job, JobReport, Progress, Site, Tell, WorkerLostError, Workers
from linkbench.api.resources import Resources


def _workforce(value: Any) -> Any:
    if value != "auto" and (type(value) is not int or not 1 <= value <= 10_000):
        raise ValueError("expected a whole number from 1 to 10000, or auto")
    return value


Workforce = Annotated[
    int | str,
    BeforeValidator(_workforce),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "enum": ["auto"]}]}),
]
"""How many workers there are; `auto` leaves it to the executor."""

STARTS = 3
"""How often it is tried to start a process for a job."""

TELL = 0.2
"""Seconds between two words about how far a job is."""


class Local(Executor):
    """Processes on this machine; with one worker, the run itself."""

    workers: Workforce = Field(
        "auto", description="processes; `auto`: one for each core that may be used, on `cuda` one for each GPU"
    )

    elsewhere: ClassVar[bool] = False

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"workers": 2}

    def start(self, site: Site) -> Workers | None:
        gpus = visible_gpus(site.device)
        number = (len(gpus) or cores()) if self.workers == "auto" else int(self.workers)
        return None if number == 1 else Processes(number, site.packages, gpus)


def visible_gpus(device: str) -> list[str]:
    """The GPUs that a run on `cuda` may use, as CUDA_VISIBLE_DEVICES names them; none for other devices."""
    if device != "cuda":
        return []
    import torch

    asked = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    named = [name.strip() for name in asked.split(",") if name.strip()]
    count = torch.cuda.device_count()
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


class Processes(Workers):
    """Up to `capacity` processes, each started when there is first something for it to do.

    gpus: the worker number i sees the GPU number i alone, beginning again where there are more workers.
    """

    def __init__(self, capacity: int, packages: tuple[str, ...] = (), gpus: list[str] | None = None) -> None:
        self.capacity = capacity
        self.gpus = gpus or []
        self.context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if packages and sys.platform == "linux":
            self.context.set_forkserver_preload(list(packages))
        self.places: list[_Worker | None] = [None] * capacity
        self.needs: dict[str, Resources] = {}

    def accepts(self, resources: Resources) -> bool:
        # copied in one go: a job may end meanwhile, in the thread of its pool
        taken = sum(max(1, needed.cores) for needed in tuple(self.needs.values()))
        return taken + min(max(1, resources.cores), self.capacity) <= self.capacity

    def submit(self, job: Job) -> Future[JobReport]:
        share = max(1, cores() // (len(self.needs) + 1))  # who begins alone may use what nobody else does
        self.needs[job.id] = job.resources
        told: Future[JobReport] = Future()
        unborn = 0
        while True:
            place = self._free_place()
            worker = self.places[place]
            if worker is None:
                gpu = self.gpus[place % len(self.gpus)] if self.gpus else None
                worker = self.places[place] = _Worker(f"worker {place + 1}", self.context, gpu)
            if worker.ended():
                self.places[place] = None
                continue
            try:
                worker.submit(job, share, partial(self._ended, place, worker, job.id, told))
            except BrokenExecutor:  # it has just been
                self.places[place] = None
                continue
            except (EOFError, OSError):  # the process that others are forked from was killed meanwhile
                self.places[place] = None
                unborn += 1
                if unborn < STARTS:
                    continue
                self.needs.pop(job.id)
                told.set_exception(WorkerLostError(worker.how()))
            return told

    def _free_place(self) -> int:
        """A worker that has nothing to do, rather than one that must be started."""
        free = [place for place, worker in enumerate(self.places) if worker is None or worker.job is None]
        return min(free, key=lambda place: (self.places[place] is None, place))

    def _ended(self, place: int, worker: _Worker, job: str, told: Future[JobReport], done: Future[JobReport]) -> None:
        """Called in the thread of a pool, once its job has ended or its process has."""
        error = done.exception()
        lost = error is not None and worker.lost()
        if lost:
            self.places[place] = None
        worker.job = None
        self.needs.pop(job, None)
        if error is None:
            told.set_result(done.result())
        else:
            told.set_exception(WorkerLostError(worker.how()) if lost else error)

    def progress(self) -> Iterator[Progress]:
        for worker in self.places:
            if worker is not None:
                yield from worker.progress()

    def stop(self, job: str) -> None:
        for worker in self.places:
            if worker is not None and worker.job == job:
                worker.kill()

    def close(self) -> None:
        workers = [worker for worker in self.places if worker is not None]
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """One process and what is known of it."""

    def __init__(self, name: str, context: Any, gpu: str | None) -> None:
        self.name = name
        self.job: str | None = None
        self.process: BaseProcess | None = None
        self.hears, self.speaks = context.Pipe(duplex=False)
        environment = {**os.environ, **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})}
        self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self.speaks, environment))

    def submit(self, job: Job, share: int, ended: Any) -> None:
        self.job = job.id
        if self.process is not None:
            self.pool.submit(_work, job, share).add_done_callback(ended)
            return
        before = set(multiprocessing.active_children())
        with _without_main():
            done = self.pool.submit(_work, job, share)
        self.process = next(iter(set(multiprocessing.active_children()) - before), None)
        self.speaks.close()  # the process has the other end; its end is seen when it closes
        done.add_done_callback(ended)

    def progress(self) -> Iterator[Progress]:
        with contextlib.suppress(EOFError, OSError):
            while self.hears.poll():
                job, done, total, at = self.hears.recv()
                yield Progress(job, self.name, done, total, at)

    def ended(self) -> bool:
        """Whether the process has been there and is no more: somebody killed it while it had nothing to do."""
        return self.process is not None and not self.process.is_alive()

    def lost(self) -> bool:
        """Whether the process has ended, or is about to."""
        if self.process is None:
            return True
        self.process.join(1.0)
        return self.process.exitcode is not None

    def how(self) -> str:
        code = None if self.process is None else self.process.exitcode
        if code is None:
            return "its process could not be started"
        if code >= 0:
            return f"its process ended with exit status {code}"
        try:
            return f"its process was ended by signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"its process was ended by signal {-code}"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A new process would import the program that is running, which may be a script that starts another run."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


_speaks: list[Connection] = []
"""In the process of a worker: where it says how far it is."""


def _begin(speaks: Connection, environment: dict[str, str]) -> None:
    """Make a fresh process a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run decides what an interrupt ends
    os.environ.clear()
    os.environ.update(environment)
    _speaks[:] = [speaks]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """However the run ends, nobody is left behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job, share: int) -> JobReport:
    """In the process of a worker: carry out a job on so many cores."""
    os.environ["OMP_NUM_THREADS"] = str(share)
    return job.work(teller(job.id, _speaks[0].send, TELL))


def teller(job: str, send: Any, seconds: float) -> Tell:
    """Says how far a job is: at once that it begins, then not more often than every so many seconds."""
    told = 0.0

    def tell(done: int, total: int, at: str = "") -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= seconds or not (done or total):
            told = now
            with contextlib.suppress(OSError):
                send((job, done, total, at))

    return tell
