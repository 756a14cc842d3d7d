"""Random numbers that depend on nothing but a seed and a name, never on order or batch."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose; different names give independent streams."""
    text = "\0".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A counter-based generator for one purpose."""
    return np.random.Generator(np.random.Philox(derive(seed, *names)))
