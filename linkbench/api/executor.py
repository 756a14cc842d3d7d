"""Where the stages of a run are carried out: what an executor is handed, and what it hands back. Plain data only."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import NamedTuple

from linkbench.api.progress import Listener
from linkbench.api.resources import Resources

Tell = Listener
"""Hears how far a job is; (0, 0) says that it has begun."""


class Failure(NamedTuple):
    """A stage that did not finish: why, whether the user's input is at fault, and the traceback for --debug."""

    stage: str
    reason: str
    input_error: bool
    trace: str


class JobReport(NamedTuple):
    """What came of a job; what it computed lies in the store.

    digest: of the artefact, "" where there is none; seconds: that it took; notes: what plugins did that harmed nobody;
    failure: why there is no artefact; missing: the name of an input that was gone from the store, or damaged; refused:
    why this worker may not carry out jobs of this run, "" if it may.
    """

    digest: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    missing: str = ""
    refused: str = ""


class Job(NamedTuple):
    """One step whose inputs are in the store.

    work: carries it out, wherever it is called; it and all that it needs can be pickled. Its argument may be called
    from its own thread only.
    """

    id: str
    label: str
    resources: Resources
    work: Callable[[Tell], JobReport]


class Site(NamedTuple):
    """What a run needs of its workers: its device, the most jobs there can be, packages that they import."""

    device: str
    jobs: int
    packages: tuple[str, ...]


class Progress(NamedTuple):
    """How far a job is, and the name of the worker that carries it out."""

    job: str
    worker: str
    done: int
    total: int
    at: str = ""


class WorkerLostError(Exception):
    """A worker ended before its job did; the message says how, as far as that is known."""


class Workers(abc.ABC):
    """Those who carry out the jobs of one run; a context that ends with all of them gone. Used from one thread.

    capacity: how many jobs can be carried out at the same time.
    """

    capacity: int = 1

    @abc.abstractmethod
    def accepts(self, resources: Resources) -> bool:
        """Whether a job can be handed in now. One that is refused is offered again once another has ended."""

    @abc.abstractmethod
    def submit(self, job: Job) -> Future[JobReport]:
        """Have a job carried out. The future raises WorkerLostError where the worker ended before the job."""

    @abc.abstractmethod
    def progress(self) -> Iterable[Progress]:
        """What was heard since this was last asked; asked several times a second."""

    @abc.abstractmethod
    def stop(self, job: str) -> None:
        """End a job, whatever it is doing; its future raises WorkerLostError."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all workers, whatever they are doing, and wait until they are gone."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
