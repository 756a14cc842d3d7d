"""Independent calls at the same time, each on one thread of torch: the same bytes on any number of cores.

Torch's own threads cut a sum into as many parts as there are threads, and rounding tells how many. Networks that share
nothing need no such cut: each computes on one thread, and several of them at once.
"""

from __future__ import annotations

import contextvars
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from linkbench.api.cores import cores

T = TypeVar("T")

_here = threading.local()
_pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # threads do not survive a fork


def side_by_side(calls: Sequence[Callable[[], T]], device: torch.device) -> list[T]:
    """What the calls give, in their order; at once on a CPU where torch computes on one thread, else one by one.

    A call must write nothing that another reads, nor draw from torch's global generator. Calls inside calls come one by
    one. Once a call fails no further one begins; raises the error of the first that failed.
    """
    helpers = min(cores(), len(calls)) - 1
    alone = device.type != "cpu" or torch.get_num_threads() != 1 or torch.is_autocast_enabled("cpu")
    if helpers < 1 or alone or getattr(_here, "busy", False):
        return [call() for call in calls]
    out: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    numbers, stopped = itertools.count(), threading.Event()

    def work() -> None:
        _here.busy = True
        try:
            while not stopped.is_set() and (number := next(numbers)) < len(calls):
                try:
                    out[number] = calls[number]()
                except BaseException as error:
                    errors[number] = error
                    stopped.set()
        finally:
            _here.busy = False

    gradients, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()  # they are each thread's own

    def help_out() -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            work()

    futures = [_pool(helpers).submit(contextvars.copy_context().run, help_out) for _ in range(helpers)]
    try:
        work()
    finally:
        stopped.set()
        wait(futures)
    if errors:
        raise errors[min(errors)]
    return [out[number] for number in range(len(calls))]


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work; starting them anew costs as much as a small network."""
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads, "linkbench-side-by-side")
    return _pools[threads]
