"""One brightness per class. Peck 2021, Theorem 1."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array


def class_patterns(classes: int, size: int, seed: int) -> Array:
    """float32 [classes, 3, size, size]: constants, evenly spaced from -1 (class 0) to 1 (the last); no randomness.

    With two classes this is the theorem's shift by alpha * Y, Y = -1 or +1. The patterns span one dimension.
    """
    levels = np.linspace(-1.0, 1.0, classes, dtype=np.float32)
    return np.broadcast_to(levels[:, None, None, None], (classes, 3, size, size)).copy()
