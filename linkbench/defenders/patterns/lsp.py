"""Linearly separable patches: one random colour for each of 8x8 patches and each class. Yu et al. 2022."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from linkbench import seeds
from linkbench.values import Array

GRID = 8
"""Patches along an edge. The paper has 4, of 8 pixels, for ten classes of things. Aligned faces differ as smoothly as
that: a twentieth of them cannot be told apart by 4x4 patches within 8/255, by 8x8 all but all."""
SPREAD = 0.1
"""Half width of a photo's random part; the class mean has the rest. In the paper the random part is normal, 4 to 10 of
the class part; where every pixel has the same bound, what the class does not get is lost to it."""


def class_means(classes: int, seed: int) -> Array:
    """float32 [classes, 3, GRID, GRID] of -1 and +1; no two classes are alike, two classes are each other's opposite.

    They are corners of a hypercube, so each is linearly separable from all others together.
    """
    random = seeds.generator(seed, "lsp")
    taken: dict[bytes, Array] = {}
    while len(taken) < classes:
        corner = random.integers(0, 2, (3, GRID, GRID)).astype(np.float32) * 2 - 1
        taken.setdefault(corner.tobytes(), corner)
        if classes == 2:
            taken.setdefault((-corner).tobytes(), -corner)
    return np.stack(list(taken.values()))


def class_patterns(classes: int, size: int, seed: int) -> Array:
    """float32 [classes, 3, size, size]: the class means, each patch one colour."""
    return enlarge(torch.from_numpy(class_means(classes, seed)), size).numpy()


def against(patterns: Array, means: Array) -> Array:
    """The patterns, float [classes, 3, size, size], dealt out anew: to each class one that its photos resemble little.

    means: float [classes, 3, size, size], the mean photo of each class. Least is the sum over classes of the inner
    product of pattern and mean, so what a model reads from a clean photo, where there is no pattern, is of no use, or
    of the wrong class. The paper deals them out by chance, which may favour the truth.
    """
    likeness = means.reshape(len(means), -1) @ patterns.reshape(len(patterns), -1).T
    _, chosen = linear_sum_assignment(likeness)
    dealt: Array = patterns[chosen]
    return dealt


def sample(patterns: Tensor, own: Tensor) -> Tensor:
    """Patterns of photos, float [n, 3, size, size], |.| <= 1.

    patterns: float [n, 3, size, size], of their classes; own: float [n, 3, GRID, GRID] in [-1, 1), each photo's
    random part.
    """
    return (1 - SPREAD) * patterns + SPREAD * enlarge(own, patterns.shape[-1])


def enlarge(coarse: Tensor, size: int) -> Tensor:
    """float [n, 3, GRID, GRID] to [n, 3, size, size]: every number becomes a patch."""
    place = torch.arange(size, device=coarse.device) * GRID // size
    return coarse[:, :, place][:, :, :, place]
