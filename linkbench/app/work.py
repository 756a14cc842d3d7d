"""Jobs, carried out one after the other; each can be watched and cancelled.

One at a time, because the functions that do the work use all processors, and random numbers that threads share.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from linkbench.errors import LinkbenchError

State = Literal["waiting", "running", "done", "failed", "cancelled"]

BREATH = 15.0
"""Seconds after which a silent stream of events says that it is still there."""


class UnwantedError(Exception):
    """Raised in a job that nobody wants any more, where it next says how far it is."""


class Events:
    """What a page is told: the state of its jobs, as soon as it changes. To be used in the server's thread."""

    def __init__(self) -> None:
        self.listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self.latest: dict[str, dict[str, Any]] = {}

    def tell(self, state: dict[str, Any]) -> None:
        """Send the state of a job to everybody who listens."""
        if state["job"] >= self.latest.get(state["kind"], state)["job"]:
            self.latest[state["kind"]] = state
        for queue in self.listeners:
            queue.put_nowait(state)

    async def listen(self) -> AsyncIterator[dict[str, Any] | None]:
        """The state of the latest job of each kind, then each that changes; None after a while without news."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.listeners.add(queue)
        try:
            for state in [*self.latest.values()]:
                yield state
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), BREATH)
                except TimeoutError:
                    yield None
        finally:
            self.listeners.discard(queue)


class Job:
    """One thing to do for a visitor; events: whom it tells, in the server's thread, by `tell`."""

    def __init__(self, number: int, kind: str, events: Events, tell: Callable[[dict[str, Any]], None]) -> None:
        self.number, self.kind, self.events, self.tell = number, kind, events, tell
        self.unwanted = threading.Event()
        self.state: State = "waiting"

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "running")

    def become(self, state: State, **more: Any) -> None:
        """Tell of a change; of one that is over there is nothing more to tell."""
        if not self.over:
            self.state = state
            self.tell({"job": self.number, "kind": self.kind, "state": state, **more})

    def reached(self, part: float, text: str) -> None:
        """How far the work is, from 0 to 1. Raises UnwantedError where nobody wants it any more."""
        if self.unwanted.is_set():
            raise UnwantedError
        self.become("running", part=round(part, 4), text=text)


Do = Callable[[Job], dict[str, Any]]
"""What a job does, in another thread; returns what the page is told in the end."""


class Work:
    """Who carries out jobs. Open from `start` to `stop`, in the server's thread."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.jobs: dict[int, Job] = {}

    def start(self) -> None:
        """Be ready for jobs."""
        self.loop = asyncio.get_running_loop()
        self.hands = ThreadPoolExecutor(1, "linkbench-work")
        self.eyes = ThreadPoolExecutor(1, "linkbench-look")

    def stop(self) -> None:
        """Cancel all jobs, and wait until the one that runs has noticed."""
        self.cancel([*self.jobs.values()])
        for pool in (self.hands, self.eyes):
            pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, kind: str, events: Events, do: Do, done: Callable[[dict[str, Any]], None]) -> Job:
        """Have something done. done: called in the server's thread with what the job returned."""

        def tell(state: dict[str, Any]) -> None:
            self.loop.call_soon_threadsafe(events.tell, state)

        job = Job(next(self.numbers), kind, events, tell)
        self.jobs[job.number] = job
        before = sum(not other.over for other in self.jobs.values()) - 1
        job.become("waiting", text=f"waiting for {before} before it" if before else "begins")

        def finish(result: dict[str, Any]) -> None:
            if not job.unwanted.is_set():
                done(result)
                job.become("done", result=result)

        def run() -> None:
            try:
                job.reached(0.0, "begins")
                result = do(job)
                self.loop.call_soon_threadsafe(finish, result)
            except UnwantedError:
                pass
            except LinkbenchError as error:
                job.become("failed", text=str(error))
            except Exception as error:  # a bug must not end the server; the terminal shows where it is
                job.become("failed", text=f"an error of linkbench itself: {type(error).__name__}; see the terminal")
                raise
            finally:
                self.loop.call_soon_threadsafe(self.jobs.pop, job.number, None)

        self.hands.submit(run).add_done_callback(_shown)
        return job

    def unfinished(self, events: Events) -> list[Job]:
        """The jobs of one visitor that are not over."""
        return [job for job in self.jobs.values() if job.events is events and not job.over]

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Nobody wants these jobs any more; what they have not begun they will not begin."""
        for job in jobs:
            job.unwanted.set()
            job.become("cancelled")

    async def look(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A short piece of work beside the jobs: photos opened and drawn, one after the other."""
        return await self.loop.run_in_executor(self.eyes, function, *arguments)


def _shown(future: Any) -> None:
    """The traceback of a job that failed by a bug, on the terminal."""
    if not future.cancelled() and (error := future.exception()) is not None:
        import traceback

        traceback.print_exception(error)
