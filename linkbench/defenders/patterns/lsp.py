"""Linearly separable patches: one random colour for each of 8x8 patches and each class. Yu et al. 2022."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.data import Array

GRID = 8
"""Patches along an edge. The paper has 4, of 8 pixels, for ten classes of things. Aligned faces differ as smoothly as
that: a twentieth of them cannot be told apart by 4x4 patches within 8/255, by 8x8 nearly all can."""
SPREAD = 0.1
"""Half width of a photo's random part; the class mean has the rest. In the paper the random part is normal, 4 to 10 of
the class part; where every pixel has the same bound, what the class does not get is lost to it."""


def class_means(classes: int, seed: int, spread: Array) -> Array:
    """float32 [classes, 3, GRID, GRID] of -1 and +1; no two classes are alike, two classes are each other's opposite.

    They are corners of a hypercube, so each is linearly separable from all others together. spread: float64 [D, D],
    D = 3 * GRID ** 2, how the mean colours of the patches vary from photo to photo: where photos by themselves differ
    along w as much as the poison moves them, <w, photo> tells no class. The paper takes any corner.
    """
    random = seeds.generator(seed, "lsp")
    taken: dict[bytes, Array] = {}
    while len(taken) < classes:
        drawn = random.integers(0, 2, 3 * GRID**2) * 2.0 - 1
        for signs in (_calmed(drawn, spread), drawn):  # where few patterns are calm they are soon taken
            corner = signs.astype(np.float32).reshape(3, GRID, GRID)
            if corner.tobytes() not in taken:
                taken[corner.tobytes()] = corner
                if classes == 2:
                    taken[(-corner).tobytes()] = -corner
                break
    return np.stack(list(taken.values()))


def _calmed(corner: Array, spread: Array) -> Array:
    """The corner [D] of -1 and +1 after flips, each the one that lessens w' spread w most, until none does."""
    w, turned = corner.copy(), spread @ corner
    while True:
        gains = 4 * (np.diag(spread) - w * turned)  # what flipping each sign adds
        best = int(gains.argmin())
        if gains[best] >= -1e-12:
            return w
        turned -= 2 * w[best] * spread[:, best]
        w[best] = -w[best]


def class_patterns(classes: int, size: int, seed: int, photos: Iterable[Tensor]) -> Array:
    """float32 [classes, 3, size, size]: the class means, each patch one colour.

    photos: those to be poisoned, in batches float [n, 3, size, size].
    """
    colours = torch.cat([coarse(batch).cpu() for batch in photos]).numpy()
    return enlarge(torch.from_numpy(class_means(classes, seed, np.cov(colours, rowvar=False))), size).numpy()


def coarse(photos: Tensor) -> Tensor:
    """float [n, 3, size, size] to float64 [n, 3 * GRID ** 2], each patch's mean colour; 0 for one without pixels."""
    place = torch.arange(photos.shape[-1], device=photos.device) * GRID // photos.shape[-1]
    of_patch = torch.nn.functional.one_hot(place, GRID).double()
    of_patch /= of_patch.sum(dim=0).clamp(min=1)
    return torch.einsum("ncij,ip,jq->ncpq", photos.double(), of_patch, of_patch).flatten(1)


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
