"""The process of a plugin: it takes itself away what it shall not have, then does what it is asked, call by call.

What is asked names a class of linkbench ("module:Class", the proposer of a stage) that is made once, from what came
with it, and whose methods are called then. A method is given a `Parcel` and returns one; a proposer may ask the
harness in between, where its stage foresees that.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from linkbench.api.progress import listening
from linkbench.boundary import messages, sandbox
from linkbench.boundary.messages import Message, Parcel

if TYPE_CHECKING:
    from linkbench.boundary.order import Order

Ask = Callable[[str, Parcel], Parcel]
"""A question of a proposer to the harness, by name."""

TRACE = 20_000
"""Letters of a traceback, or of a message of an error, that are sent."""

PROGRESS = 0.1
"""Seconds between two words about how far it is."""


def main(order: Order, channel: int, output: int, missing: list[str]) -> NoReturn:
    """Serve as the process of a plugin; ends the process."""
    status = 1
    try:
        sandbox.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for own, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(own, target)
        kept = os.dup2(channel, 3) if channel != 3 else 3
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        with contextlib.suppress(OSError):  # a folder that is gone, or that nobody may enter: there is nothing to find
            os.chdir(order.folder)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
        home = os.path.join(order.scratch, "home")
        os.mkdir(home)
        os.environ.update(HOME=home, TMPDIR=home)
        sys.path[:] = order.path
        importlib.invalidate_caches()
        writable = [order.scratch, *([] if missing else [sandbox.SHARED])]
        missing += sandbox.confine(order.readable, order.listed, writable, order.memory)
        _Server(socket.socket(fileno=kept), missing).serve()
        status = 0
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(status)


class _Server:
    """Answers calls over a socket until it is closed."""

    def __init__(self, channel: socket.socket, missing: list[str]) -> None:
        self.channel, self.missing = channel, missing
        self.proposer: Any = None
        self.told = 0.0

    def serve(self) -> None:
        while True:
            try:
                asked = messages.decode(self._fill)
            except EOFError:
                return
            try:
                answer = self._answer(asked)
            except BaseException as error:
                self._say(_failure(error))
            else:
                self._say(Message("done", answer.meta, {name: messages.plain(a) for name, a in answer.arrays.items()}))

    def _answer(self, asked: Message) -> Parcel:
        with listening(self._progress):
            if asked.kind == "open":
                self.proposer = _made(asked.meta, self._ask)
                return Parcel({}, {"missing": self.missing})
            if asked.kind.startswith("_"):
                raise ValueError(f"no call {asked.kind!r}")
            given = Parcel(dict(asked.arrays), asked.meta)
            answer: Parcel = getattr(self.proposer, asked.kind)(given)
            return answer

    def _ask(self, name: str, given: Parcel) -> Parcel:
        arrays = {key: messages.plain(array) for key, array in given.arrays.items()}
        self._say(Message("ask", {"name": name, "meta": given.meta}, arrays))
        answer = messages.decode(self._fill)
        return Parcel(dict(answer.arrays), answer.meta)

    def _progress(self, done: int, total: int, at: str = "") -> None:
        now = time.monotonic()
        if done == total or now > self.told + PROGRESS:
            self.told = now
            self._say(Message("progress", {"done": int(done), "total": int(total)}, {}))

    def _say(self, message: Message) -> None:
        try:
            parts = list(messages.encode(message))
        except messages.BadMessageError as error:
            parts = list(messages.encode(_failure(error)))
        for part in parts:
            self.channel.sendall(part)

    def _fill(self, buffer: memoryview) -> None:
        while len(buffer):
            count = self.channel.recv_into(buffer)
            if not count:
                raise EOFError
            buffer = buffer[count:]


def _made(order: dict[str, Any], ask: Ask) -> Any:
    """The proposer that is asked for, after what prepares the process for it."""
    for target, value in order["prepare"]:
        _target(target)(value)
    return _target(order["run"])(order["task"], ask)


def _target(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module.startswith("linkbench."):
        raise ValueError(f"{name} is not linkbench's")
    return getattr(importlib.import_module(module), attribute)


def _failure(error: BaseException) -> Message:
    """An error as it is told: the name of its class, its message and its traceback, each cut."""
    try:
        said, trace = str(error)[: TRACE + 1], "".join(traceback.format_exception(error))[-TRACE:]
    except BaseException:  # an error of a plugin may fail to be shown
        said, trace = "", ""
    kinds = [cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "linkbench.errors"]
    name = str(type(error).__name__)[:100]
    return Message("failed", {"error": name, "kinds": kinds, "said": said, "trace": trace}, {})
