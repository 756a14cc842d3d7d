"""How many threads compute: told to torch, and part of every key of a stage that computes with it."""

from __future__ import annotations

import contextlib
import os


def threads() -> int:
    """OMP_NUM_THREADS, or the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads() -> None:
    """Make torch compute with so many; without torch nothing happens, and whoever needs it says so."""
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(threads())
