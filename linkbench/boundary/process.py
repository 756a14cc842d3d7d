"""The parent's side: a process for a plugin is started, talked to, watched and ended."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from linkbench import errors
from linkbench.api.progress import advance, note
from linkbench.api.text import shown
from linkbench.boundary import messages, scratch
from linkbench.boundary.messages import BadMessageError, Message, Parcel
from linkbench.boundary.order import Order, order_text
from linkbench.errors import InputError, LinkbenchError, PluginError

PRINTED = 1 << 16
"""Bytes of what a plugin prints that are kept; the rest is read and thrown away."""

LONGEST = 2_000
"""Letters that are told of an error of foreign code."""

MEMORY = "LINKBENCH_PLUGIN_MEMORY"
"""Environment variable: how much memory a plugin's processes may use, as `8G`, `500M` or a number of bytes."""

SHARE = 0.75
"""Part of the machine's memory that they may use if nothing is said."""

KEPT = (
    "PATH", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
    "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip
"""Environment variables that a plugin may see: those that decide where programs are found and how they compute."""

END = 10.0
"""Seconds that a warden, which is linkbench's own, has to say how a process ended."""

Answers = Mapping[str, Callable[[Parcel], Parcel]]


class Wanted(NamedTuple):
    """What a process is made for: see `Order`; who: the plugin, as messages name it."""

    who: str
    preload: list[str]
    readable: list[str]
    listed: list[str]


class _Zygote:
    """The process from which others are forked, started when it is first needed, and anew in a process that forked."""

    def __init__(self) -> None:
        self.circumstances: Any = None
        self.owner = 0
        self.orders: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def warm(self, preload: list[str]) -> None:
        """Have it import modules meanwhile, so that the first process is there sooner."""
        with contextlib.suppress(PluginError):
            self.order(Order(preload, [], [], [], "", "", 0), [])

    def order(self, order: Order, handles: list[int]) -> None:
        """Have a process made. Raises PluginError where none can be."""
        with self.lock:
            for attempt in (0, 1):
                orders = self._orders()
                try:
                    text = order_text(order)
                    if handles:
                        socket.send_fds(orders, [text[:4]], handles)
                    else:
                        orders.sendall(text[:4])
                    orders.sendall(text[4:])
                    return
                except OSError as error:
                    self.circumstances = None  # it was killed: start another
                    if attempt:
                        raise PluginError(f"no process for plugins can be started: {error}") from None

    def _orders(self) -> socket.socket:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        circumstances = [os.getpid(), kept]
        if self.orders is None or circumstances != self.circumstances:
            self.end()
            self.circumstances, self.owner = circumstances, os.getpid()
            ours, theirs = socket.socketpair()
            paths = os.pathsep.join(path for path in sys.path if path)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "linkbench.boundary.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**kept, "PYTHONPATH": paths},
                start_new_session=True,
            )
            theirs.close()
            self.orders = ours
        return self.orders

    def end(self) -> None:
        """It ends by itself when nobody can give it orders. That of a process that this one was forked from is left."""
        if self.orders is not None:
            self.orders.close()
        if self.process is not None and self.owner == os.getpid():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END)
        self.orders = self.process = None


_ZYGOTE = _Zygote()


atexit.register(_ZYGOTE.end)
warm = _ZYGOTE.warm


class _OverdueError(Exception):
    """The time for an answer has passed."""


class Process:
    """A fresh process behind the boundary; a context that ends it and everything that it started."""

    def __init__(self, wanted: Wanted) -> None:
        self.who = wanted.who
        self.scratch = scratch.make()
        self.until: float | None = None
        self.printed = bytearray()
        self.ended: dict[str, Any] | None = None
        self.channel, channel = socket.socketpair()
        self.status, status = socket.socketpair()
        self.output, output = os.pipe()
        self.channel.setblocking(False)
        os.set_blocking(self.output, False)
        try:
            _ZYGOTE.order(
                Order(
                    wanted.preload,
                    list(sys.path),
                    wanted.readable,
                    wanted.listed,
                    _here(),
                    self.scratch,
                    memory_limit(),
                ),
                [channel.fileno(), output, status.fileno()],
            )
        except BaseException:
            self.ended = {}  # there never was one
            self.end()
            raise
        finally:
            channel.close()
            status.close()
            os.close(output)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: Any) -> None:
        left = self.end().get("left", 0)
        if left:
            note(f"left {left} process{'es' if left > 1 else ''} running; ended")
        if said := self.printed.decode("utf-8", "replace"):
            # escaped: whoever shows it shows letters; what captures standard output keeps it out of the results
            sys.stdout.write(escaped(said))

    def end(self) -> dict[str, Any]:
        """End the process and all that it started; how it ended. It may be called twice."""
        if self.ended is None:
            with contextlib.suppress(OSError):
                self.status.sendall(b"!")
            self._until_ended()
        for each in (self.channel, self.status):
            each.close()
        if self.output >= 0:
            self._drain()
            os.close(self.output)
            self.output = -1
        scratch.remove(self.scratch)
        return self.ended or {}

    def _until_ended(self) -> None:
        self.status.settimeout(END)
        try:
            text = self.status.recv(1 << 12)
            self.ended = json.loads(text) if text else {}
        except (OSError, ValueError):
            self.ended = {}

    def send(self, message: Message) -> None:
        """Send a message, however long the other side takes to read it. Raises PluginError where it has ended."""
        for part in messages.encode(message):
            while len(part):
                self._wait(select.POLLOUT)
                with contextlib.suppress(BlockingIOError):
                    try:
                        part = part[self.channel.send(part) :]
                    except OSError:
                        raise self._lost() from None

    def receive(self, answers: Answers, most: int = messages.MOST) -> Parcel:
        """The next answer. Raises what the plugin raised, as one of linkbench's errors, or PluginError naming it."""
        while True:
            try:
                message = messages.decode(self._fill, most)
            except BadMessageError as error:
                raise BadMessageError(f"{self.who}: {error}") from None
            if message.kind == "progress":
                done, total = (int(message.meta.get(name) or 0) for name in ("done", "total"))
                advance(done, total)
            elif message.kind == "ask" and message.meta.get("name") in answers:
                given = message.meta.get("meta")
                answer = answers[message.meta["name"]](
                    Parcel(dict(message.arrays), given if isinstance(given, dict) else {})
                )
                self.send(Message("answer", answer.meta, {key: messages.plain(a) for key, a in answer.arrays.items()}))
            elif message.kind == "failed":
                raise _error(message.meta)
            elif message.kind == "done":
                return Parcel(dict(message.arrays), message.meta)
            else:
                raise BadMessageError(f"{self.who} sent a message {message.kind[:40]!r} that nobody expects")

    def call(
        self,
        name: str,
        given: Parcel,
        answers: Answers | None = None,
        most: int = messages.MOST,
        seconds: float | None = None,
    ) -> Parcel:
        """What a method of the proposer says of what it is given; seconds: after which it is ended, if it says nothing.

        Raises what `receive` raises.
        """
        self.until = None if seconds is None else time.monotonic() + seconds
        try:
            self.send(Message(name, given.meta, {key: messages.plain(array) for key, array in given.arrays.items()}))
            return self.receive(answers or {}, most)
        except _OverdueError:
            self.end()
            raise PluginError(f"{self.who} did not answer within {seconds:g} seconds, and was ended") from None
        finally:
            self.until = None

    def _fill(self, buffer: memoryview) -> None:
        while len(buffer):
            self._wait(select.POLLIN)
            try:
                count = self.channel.recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError:
                count = 0
            if not count:
                raise self._lost()
            buffer = buffer[count:]

    def _wait(self, event: int) -> None:
        """Until the channel is ready; meanwhile what is printed is read.

        Raises PluginError where the process ended, and _OverdueError where its time has passed.
        """
        poll = select.poll()
        poll.register(self.channel, event)
        poll.register(self.status, select.POLLIN)
        poll.register(self.output, select.POLLIN)
        while True:
            left = None if self.until is None else 1000 * (self.until - time.monotonic())
            if left is not None and left <= 0:
                raise _OverdueError
            ready = dict(poll.poll(left))
            if self.output in ready and not self._drain():
                poll.unregister(self.output)
            if self.channel.fileno() in ready:
                return
            if self.status.fileno() in ready:
                self._until_ended()
                raise self._lost()

    def _drain(self) -> bool:
        """Read what was printed; whether more may come."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.output, PRINTED):
                self.printed += part[: max(0, PRINTED - len(self.printed))]
                if len(part) == PRINTED:
                    return True  # it may print for ever; there is other work
            return False
        return True

    def _lost(self) -> PluginError:
        """Why there is nobody to talk to."""
        how = self.end()
        status = how.get("status")
        if how.get("killed") == "memory":
            limit = f"{memory_limit() / 1e9:.3g} GB"
            what = f"used more than {limit} of memory, the limit of a plugin, and was ended; {MEMORY} sets another"
        elif not isinstance(status, int):
            what = "ended its process"
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            number = os.WTERMSIG(status)
            named = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            crash = f" ({signal.strsignal(number)})"
            what = f"ended its process by the signal {named}{crash}"
        elif os.WIFEXITED(status):
            what = f"ended its process (exit status {os.WEXITSTATUS(status)})"
        else:
            what = "closed its connection to linkbench, or was killed"
        return PluginError(f"{self.who} {what} before it had answered")


def _here() -> str:
    """The working folder, empty where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _error(told: Mapping[str, Any]) -> LinkbenchError:
    """An error that a plugin's process told, as one of linkbench's own, its text cut and escaped."""
    said, name = escaped(str(told.get("said", ""))), escaped(str(told.get("error", "")))[:100]
    kinds = told.get("kinds")
    known = [kind for kind in kinds if kind in ("WeightsError", "InputError", "LinkbenchError")] if kinds else []
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]}... ({len(said):,} letters)"
    cls = getattr(errors, known[0]) if known and known[0] != "LinkbenchError" else PluginError
    error: LinkbenchError = cls(said if known else f"{name}: {said}")
    if trace := escaped(str(told.get("trace", ""))):
        error.add_note(f"In the plugin's process:\n{trace}")
    return error


def escaped(text: str) -> str:
    """Text of a plugin as it may be shown on any terminal, whole."""
    return shown(text, len(text))


def memory_limit() -> int:
    """Bytes that a plugin may use. Raises InputError where the variable says no number."""
    asked = os.environ.get(MEMORY, "").strip().upper()
    if asked:
        digits, unit = (asked[:-1], asked[-1]) if asked[-1] in "KMGT" else (asked, "")
        try:
            return int(float(digits) * 1024 ** " KMGT".index(unit or " "))
        except (ValueError, OverflowError):
            raise InputError(f"{MEMORY} is {asked[:40]!r}; give bytes, or a number with K, M, G or T, as 8G") from None
    return int(SHARE * _machine())


def _machine() -> int:
    """Bytes of memory that there are, for this container where it has a limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(file) as limit:
            total = min(total, int(limit.read()))
    return total
