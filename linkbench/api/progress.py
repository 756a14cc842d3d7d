"""Stages say how far they are; whoever runs them decides whether anybody sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sized
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """Hears that `done` of `total` pieces of a stage are finished, and in words where it is, such as `epoch 3/20`."""

    def __call__(self, done: int, total: int, at: str = "") -> None: ...


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def advance(done: int, total: int, at: str = "") -> None:
    """Say that `done` of `total` pieces of the running stage are finished; at: where it is, in words."""
    listener = _listener.get()
    if listener is not None:
        listener(done, total, at)


def track(items: Iterable[T], total: int | None = None) -> Iterator[T]:
    """Iterate, saying after each item how far the stage is."""
    total = total if total is not None else len(items) if isinstance(items, Sized) else 0
    for done, item in enumerate(items, start=1):
        yield item
        advance(done, total)


@contextlib.contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Send what stages say to a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def note(text: str) -> None:
    """Say that a plugin of the running stage did something that it should not, and that harmed nobody."""
    notes = _notes.get()
    if notes is not None and text not in notes:
        notes.append(text)


@contextlib.contextmanager
def noting(notes: list[str]) -> Iterator[None]:
    """Collect what is noted."""
    token = _notes.set(notes)
    try:
        yield
    finally:
        _notes.reset(token)
