"""One pattern of fair coin flips per class: the repaired Theorem 1, see docs/theorem1.md."""

from __future__ import annotations

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Array


def signs(size: int, seed: int, name: str | int) -> Array:
    """float32 [3, size, size] of independent fair -1 and +1."""
    count = 3 * size * size
    flips = np.unpackbits(np.frombuffer(seeds.generator(seed, "rademacher", name).bytes(-(-count // 8)), np.uint8))
    return (flips[:count].astype(np.float32) * 2 - 1).reshape(3, size, size)


def class_patterns(classes: int, size: int, seed: int) -> Array:
    """float32 [classes, 3, size, size] of -1 and +1: -w and +w for two classes, else one independent w per class."""
    if classes == 2:
        pattern = signs(size, seed, 0)
        return np.stack([-pattern, pattern])
    return np.stack([signs(size, seed, number) for number in range(classes)])
