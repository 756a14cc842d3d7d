"""A process without any foreign code from which those of plugins are forked, so that none has to import torch again.

For each order it forks a warden, which forks the plugin's process (`host`) and stays outside: it ends the plugin and
all that the plugin started when it is told to, when nobody is left to tell it, or when they use too much memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys

from linkbench.boundary import host, sandbox
from linkbench.boundary.order import Order

WATCH = 0.1
"""Seconds between two looks at the memory that a plugin's processes use."""


def main(handle: int) -> None:
    """Serve orders until nobody is left to give any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=handle)
    while True:
        start, handles, *_ = socket.recv_fds(orders, 4, 3)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0 if not start else os.WNOHANG)[0]:  # wardens end by themselves
                pass
        if not start:
            return
        text, length = b"", int.from_bytes(start, "little")
        while len(text) < length:
            text += orders.recv(length - len(text))  # no more: handles come with the start of the next order
        order = Order(**json.loads(text))
        for module in order.preload:
            with contextlib.suppress(Exception):  # whoever needs it will meet the error, and can say so
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # pages that nobody writes to are shared
        if not handles:  # to be ready is all that was asked for
            continue
        if os.fork() == 0:
            orders.close()
            try:
                _warden(order, *handles)
            finally:
                os._exit(1)
        for each in handles:
            os.close(each)


def _warden(order: Order, channel: int, output: int, status: int) -> None:
    """Fork the plugin's process, wait for its end or for the order to end it, end what it left, and say what happened.

    Says {"status": as of os.wait, "killed": why, "left": processes that still ran}; does not return.
    """
    os.setsid()
    sandbox.control_process(sandbox.SUBREAPER)
    missing = sandbox.apart(order.scratch)
    child = os.fork()
    if child == 0:
        os.close(status)
        host.main(order, channel, output, missing)
    os.close(channel)
    os.close(output)
    killed, left, code = "", 0, None
    while code is None:
        told, *_ = select.select([status], [], [], WATCH)
        if told:
            left = len(_below(os.getpid())) - 1
            break
        if _memory(os.getpid()) > order.memory:
            killed = "memory"
            break
        ended, found = os.waitpid(child, os.WNOHANG)
        code = found if ended else None
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    code = os.waitpid(child, 0)[1] if code is None else code
    _end_all()
    with contextlib.suppress(OSError):
        os.write(status, json.dumps({"status": code, "killed": killed, "left": max(left, 0)}).encode())
    os._exit(0)


def _end_all() -> None:
    """End every process below this one, however it was made: those without a parent have become its children."""
    while True:
        for each in _below(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _below(process: int) -> list[int]:
    """All processes below one, as far as the system tells."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{process}/task/{thread}/children") as file:
                children = [int(each) for each in file.read().split()]
                found += children
                for each in children:
                    found += _below(each)
    return found


def _memory(process: int) -> int:
    """Bytes that all processes below one use for themselves."""
    total = 0
    for each in _below(process):
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{each}/statm") as file:
            resident, shared = map(int, file.read().split()[1:3])
            total += (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    return total


if __name__ == "__main__":
    main(int(sys.argv[1]))
