"""What linkbench expects of an executor: reports come back, jobs can be ended, and a lost worker is no lost run."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, wait
from functools import partial
from typing import NamedTuple

from linkbench.api.executor import Job, JobReport, Progress, Site, Tell, WorkerLostError, Workers
from linkbench.api.resources import Resources
from linkbench.errors import MissingLibraryError
from linkbench.execution.stdout import captured
from linkbench.testing.check import Skip, Subject
from linkbench.testing.common import silent

PATIENCE = 120.0
"""Seconds in which a job that does nothing must have come back, on the slowest of machines."""

JOBS = 5
"""So many jobs are handed in."""


def answer(text: str, tell: Tell) -> JobReport:
    """A job that says how far it is, and gives back what it was given."""
    tell(0, 0)
    tell(1, 1)
    return JobReport(digest=text, seconds=0.5, notes=("noted",))


def hang(tell: Tell) -> JobReport:
    """A job that takes a minute."""
    tell(0, 0)
    time.sleep(60)
    return JobReport()


def die(tell: Tell) -> JobReport:
    """A job that takes its process along."""
    os._exit(7)


class Trial(NamedTuple):
    """What became of jobs: reports in the order of the jobs, what was heard of them, the errors of the job that was
    stopped and of the one that died, the report of a job after these, and what was printed."""

    reports: list[JobReport]
    heard: list[Progress]
    stopped: BaseException | None
    died: BaseException | None
    afterwards: JobReport
    said: str


def _job(id_: str, work: object) -> Job:
    return Job(id_, f"trial {id_}", Resources(cores=1), work)  # type: ignore[arg-type]


def _try(subject: Subject) -> Trial:
    heard: list[Progress] = []

    def finish(workers: Workers, *handed: Future[JobReport]) -> None:
        until = time.monotonic() + PATIENCE
        while wait(handed, timeout=0.1).not_done:
            heard.extend(workers.progress())
            assert time.monotonic() < until, f"jobs did not come back in {PATIENCE:.0f} seconds"
        heard.extend(workers.progress())

    def hand_in(workers: Workers, job: Job) -> Future[JobReport]:
        until = time.monotonic() + PATIENCE
        while not workers.accepts(job.resources):
            heard.extend(workers.progress())
            assert time.monotonic() < until, f"no job is accepted in {PATIENCE:.0f} seconds"
            time.sleep(0.01)
        return workers.submit(job)

    with captured() as printed:
        try:
            started = subject.plugin().start(Site("cpu", JOBS, ()))
        except MissingLibraryError as error:
            raise Skip(str(error)) from None
        if started is None:
            raise Skip("with these parameters the run carries out everything itself")
        with started as workers:
            assert workers.capacity >= 1, f"it says that it carries out {workers.capacity} jobs at once"
            futures = [hand_in(workers, _job(str(n), partial(answer, str(n)))) for n in range(JOBS)]
            finish(workers, *futures)
            hanging = hand_in(workers, _job("hang", hang))
            until = time.monotonic() + PATIENCE
            while not any(each.job == "hang" for each in heard) and time.monotonic() < until:
                heard.extend(workers.progress())
                time.sleep(0.05)
            workers.stop("hang")
            finish(workers, hanging)
            dying = hand_in(workers, _job("die", die))
            finish(workers, dying)
            last = hand_in(workers, _job("last", partial(answer, "last")))
            finish(workers, last)
    return Trial(
        [future.result() for future in futures],
        heard,
        hanging.exception(),
        dying.exception(),
        last.result(),
        printed.text,
    )


def reports_come_back_as_they_were(subject: Subject) -> None:
    """Whatever a job returns is what its future gives."""
    expected = [JobReport(digest=str(n), seconds=0.5, notes=("noted",)) for n in range(JOBS)]
    assert subject.once(_try).reports == expected


def progress_is_of_jobs_and_names_workers(subject: Subject) -> None:
    """What is heard is of jobs that were handed in."""
    heard = subject.once(_try).heard
    known = {*map(str, range(JOBS)), "hang", "die", "last"}
    assert {each.job for each in heard} <= known, f"it tells of jobs that there are not: {heard}"
    assert all(each.worker for each in heard), "it does not name the worker that carries out a job"
    assert any(each.job == "hang" for each in heard), "nothing was heard of a job that had said that it began"


def a_job_that_is_stopped_ends(subject: Subject) -> None:
    """Its future says that its worker is lost."""
    stopped = subject.once(_try).stopped
    assert isinstance(stopped, WorkerLostError), f"after stop(job) its future gave {stopped!r}"


def a_worker_that_dies_is_told(subject: Subject) -> None:
    """The future says so, in words."""
    died = subject.once(_try).died
    assert isinstance(died, WorkerLostError), f"a job ended its process, and its future gave {died!r}"
    assert str(died), "the error does not say what became of the worker"


def others_go_on_after_a_worker_is_lost(subject: Subject) -> None:
    """A job handed in afterwards is carried out."""
    assert subject.once(_try).afterwards.digest == "last"


CHECKS = (
    reports_come_back_as_they_were,
    progress_is_of_jobs_and_names_workers,
    a_job_that_is_stopped_ends,
    a_worker_that_dies_is_told,
    others_go_on_after_a_worker_is_lost,
    silent(_try),
)
