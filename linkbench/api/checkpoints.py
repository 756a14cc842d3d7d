"""Long work keeps how far it is, where whoever runs it gives it a place for that. By default there is none."""

from __future__ import annotations

import abc
import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Protocol

from linkbench.api.data import Array, Artefact

EVERY = 30.0
"""Seconds of work after which it is kept how far it is; shorter work keeps nothing."""

SHARE = 20.0
"""Work takes at least so many times as long as keeping its state: that of large networks is gigabytes."""


class Companion(Protocol):
    """Something that changes while a stage works, beside the work itself."""

    def state(self) -> dict[str, Array]:
        """What must be kept of it, by name."""

    def bring_back(self, arrays: Mapping[str, Array]) -> None:
        """Be again as `state` said."""


class Checkpoints(abc.ABC):
    """Where one stage keeps how far it is. Its trainings are told apart by their order, which a stage repeats.

    companion: kept and brought back along with every training.
    """

    def __init__(self) -> None:
        self.companion: Companion | None = None
        self._numbers = itertools.count()
        self._kept, self._cost = time.monotonic(), 0.0

    def begin(self) -> int:
        """The number of a training that begins."""
        return next(self._numbers)

    def due(self) -> bool:
        """Whether so much has been done since the last checkpoint of the stage that another one is worth it."""
        return time.monotonic() - self._kept >= max(EVERY, SHARE * self._cost)

    def keep(self, number: int, done: int, artefact: Artefact) -> None:
        """Keep the state of a training that has done so many steps, in the place of earlier ones."""
        begun = time.monotonic()
        self.write(number, done, artefact)
        self._kept = time.monotonic()
        self._cost = self._kept - begun

    @abc.abstractmethod
    def write(self, number: int, done: int, artefact: Artefact) -> None:
        """As `keep`; a place that cannot be written is no error."""

    @abc.abstractmethod
    def find(self, number: int, origin: str) -> Artefact | None:
        """The furthest state of a training that is whole and whose meta has this `origin`; None to begin anew."""


_current: ContextVar[Checkpoints | None] = ContextVar("checkpoints", default=None)


def current() -> Checkpoints | None:
    """The place of the running stage."""
    return _current.get()


@contextlib.contextmanager
def kept_in(place: Checkpoints | None) -> Iterator[None]:
    """Give stages a place for checkpoints."""
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)
