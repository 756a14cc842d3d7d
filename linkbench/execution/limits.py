"""What a stage may not do to the run around it: take for ever, pose as the user who interrupts, leave things changed.

A stage that is over its time is interrupted as soon as it comes back to the interpreter, and then once a second in
case it takes no notice. One that never comes back (a single call into a library) cannot be interrupted; `stuck` is
called then, from another thread, which the library must allow to run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

GRACE = 5.0
"""Seconds after which a stage that did not let itself be interrupted is given up."""


class OverdueError(BaseException):
    """A stage took longer than its limit. Not an Exception, so that a plugin's `except Exception` lets it through."""


@contextlib.contextmanager
def limited(seconds: float | None, stuck: Callable[[], None] | None = None) -> Iterator[None]:
    """Raise OverdueError in the main thread once `seconds` have passed; without a limit nothing is done.

    Signals reach the main thread alone, and only where the system has them; elsewhere there is only `stuck`.
    """
    if seconds is None:
        yield
        return
    armed = True

    def ring(number: int, frame: Any) -> None:
        if armed:
            raise OverdueError

    signals = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()

    def abandon() -> None:
        if signals:
            signal.setitimer(signal.ITIMER_REAL, 0)  # it would outlive a process that starts again
        if stuck is not None:
            stuck()

    timer = threading.Timer(seconds + GRACE, abandon)
    timer.daemon = True
    before = signal.signal(signal.SIGALRM, ring) if signals else None
    try:
        try:
            timer.start()
            if signals:
                signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
            yield
        finally:
            armed = False
    finally:
        timer.cancel()
        if signals:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def user_interrupts() -> Iterator[Callable[[], bool]]:
    """Tells whether the user has interrupted the program: a KeyboardInterrupt may also be a plugin's own."""
    main = threading.current_thread() is threading.main_thread()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what runs in the background
        yield lambda: False
        return
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: True  # somebody else looks after it
        return
    interrupted = False

    def handler(number: int, frame: Any) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def put_back(notes: list[str]) -> Iterator[None]:
    """Settings of the whole process that a plugin changed are put back, and noted: they would change other stages."""
    before = settings()
    try:
        yield
    finally:
        for name, (value, restore) in before.items():
            now = settings().get(name)
            if now is not None and now[0] != value:
                restore(value)
                notes.append(f"changed {name}; it is put back")


def settings() -> Mapping[str, tuple[Any, Callable[[Any], Any]]]:
    """Each setting's value, and what sets it."""
    out: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "the working directory": (os.getcwd(), os.chdir),
    }
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        out["NumPy's error handling"] = (numpy.geterr(), lambda value: numpy.seterr(**value))
    if torch is not None:
        out["torch's default type"] = (torch.get_default_dtype(), torch.set_default_dtype)
        out["torch's gradients"] = (torch.is_grad_enabled(), torch.set_grad_enabled)
        out["torch's threads"] = (torch.get_num_threads(), torch.set_num_threads)
        out["torch's deterministic algorithms"] = (
            torch.are_deterministic_algorithms_enabled(),
            torch.use_deterministic_algorithms,
        )
    return out
