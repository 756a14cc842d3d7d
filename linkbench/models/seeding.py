"""Torch's global random numbers, from a seed and only for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def seeded(device: str, seed: int) -> Iterator[None]:
    """Torch's global generators start from a seed inside, and are as before outside."""
    index = torch.device(device).index or 0
    with torch.random.fork_rng(devices=[index] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def reseed(device: torch.device, seed: int) -> None:
    """Torch's global generators, that of the CPU and of the device, start again; within `seeded` alone."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
