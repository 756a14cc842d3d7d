"""How many processors a run may use, and on how many threads torch and NumPy compute. Results depend on no number."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator


def cores() -> int:
    """OMP_NUM_THREADS, or the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


BLAS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
"""What libraries of linear algebra look at when they are loaded. Not MKL's: torch takes its own threads from there."""


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy's products of matrices are computed on one thread, in this process and in those that begin inside.

    The last bits of a product tell on how many it was; and threads that wait for each other spin, which costs
    several times the processor time where other processes are at work.
    """
    from threadpoolctl import threadpool_limits

    # the environment may say so already, but what it said when NumPy was loaded is what its libraries go by
    before = {name: os.environ.get(name) for name in BLAS}
    os.environ.update(BLAS)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@functools.cache
def blas_on_one_thread() -> contextlib.ExitStack:
    """The same from now on, for a process that carries out stages of others and does nothing else."""
    stack = contextlib.ExitStack()
    stack.enter_context(one_blas_thread())
    return stack


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread inside, on as many as before outside; without torch nothing happens.

    Torch cuts a sum into as many parts as it has threads, and rounding tells how many those were.
    """
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
