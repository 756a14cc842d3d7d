"""Autoregressive noise: every number is a fixed mixture of the eight before it. Sandoval-Segura et al. 2022.

The window of x[i, j] is the 3x3 square that ends there; its other eight numbers, in reading order, are weighted by
the class's filter: x[i, j] = sum_k filter[k] * window[k]. A convolution with the filter's negative and a last 1 is
zero on the whole pattern, which is what a convolutional network finds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.data import Array

BEFORE = [(row, column) for row in (2, 1, 0) for column in (2, 1, 0)][:-1]
"""How far above and to the left the eight numbers of the window lie, in reading order."""
MARGIN = 4
"""Rows and columns thrown away with the start noise, the paper's crop."""
STRENGTH = 2.0
"""Root mean square of the noise, before it is cut, in units of epsilon. The paper bounds its length: 0.575 on photos of
32 px, of which little is left within a bound on every pixel. Cut noise keeps its texture, and only at this strength did
networks take it for the label (benchmarks/RESULTS.md)."""
EVEN = 0.3
"""A process is kept if in every sixteenth of the photo its noise is at least this strong, as a part of the whole's."""
CHOICE = 48
"""Candidates, at least, and two for each class: those that respond most to each other's noise are kept."""
DRAWN = 256
"""Filters drawn at once; about one in seven is kept."""


def class_filters(classes: int, size: int, seed: int) -> Array:
    """float32 [classes, 3, 8]: random filters for each class and channel whose weights sum to 1.

    As in the paper they are normal numbers over their sum, so that with its last -1 a filter is blind to one colour,
    and are drawn again where the noise dies out or explodes over a photo. Of more candidates than classes those are
    taken, greedily, that are least alike: noise of one class must not satisfy the filter of another.
    """
    random = seeds.generator(seed, "autoregressive", "filters")
    wanted = 3 * max(CHOICE, 2 * classes)
    kept: list[Tensor] = []
    noises: list[Tensor] = []
    while sum(map(len, kept)) < wanted:
        drawn = random.standard_normal((DRAWN, 8))
        filters = torch.from_numpy((drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32))[:, None]
        start = torch.from_numpy(random.standard_normal((DRAWN, 1, start_numbers(size))).astype(np.float32))
        noise = run(filters, start, size + MARGIN)[:, :, MARGIN:, MARGIN:]
        good = _even(noise)
        kept.append(filters[good, 0])
        noises.append(_moments(noise[good, 0]))
    filters = torch.cat(kept)[:wanted].reshape(-1, 3, 8)
    moments = torch.cat(noises)[:wanted].reshape(-1, 3, 9, 9)
    matching = torch.cat([filters, -torch.ones(len(filters), 3, 1)], dim=2)
    # how much of the noise of i (row) the filter of j (column) sees, all channels together
    seen = torch.einsum("jck,ickl,jcl->ij", matching, moments, matching)
    return filters[_unlike(torch.minimum(seen, seen.T), classes)].numpy()


def _even(noise: Tensor) -> Tensor:
    """bool [n]: whether noise float [n, 1, s, s] is finite and nowhere in the photo has died out."""
    cells = noise.square().unfold(2, noise.shape[2] // 4, noise.shape[2] // 4)
    cells = cells.unfold(3, noise.shape[3] // 4, noise.shape[3] // 4).mean((-1, -2)).flatten(1)
    return cells.amin(1) > EVEN**2 * cells.mean(1)  # false where it has exploded: infinite or not a number


def _moments(noise: Tensor) -> Tensor:
    """float [n, 9, 9]: mean products of the nine numbers of a window in noise [n, s, s] of mean square 1."""
    noise = noise / noise.square().mean((1, 2), keepdim=True).sqrt()
    size = noise.shape[-1]
    windows = [noise[:, 2 - up : size - up, 2 - left : size - left].flatten(1) for up, left in [*BEFORE, (0, 0)]]
    stacked = torch.stack(windows, 1)
    return stacked @ stacked.transpose(1, 2) / stacked.shape[-1]


def _unlike(distance: Tensor, count: int) -> list[int]:
    """`count` rows, two or more, of a distance [n, n]: the farthest pair, then always the farthest from all of them."""
    chosen = list(divmod(int(distance.argmax()), len(distance)))
    nearest = distance[chosen].amin(0)
    while len(chosen) < count:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distance[chosen[-1]])
    return chosen[:count]


def start_numbers(size: int) -> int:
    """How many random numbers start one channel: the first two rows and columns."""
    edge = size + MARGIN
    return 2 * edge + 2 * (edge - 2)


def sample(filters: Tensor, start: Tensor, size: int) -> Tensor:
    """Noise of photos float [n, 3, size, size], of both signs, its root mean square 1 in every channel.

    filters: float [n, 3, 8], of the photos' classes; start: float [n, 3, start_numbers(size)].
    """
    noise = run(filters, start, size + MARGIN)[:, :, MARGIN:, MARGIN:]
    # every channel is as strong as the others, or one of them would have the whole budget
    level = noise.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-30)
    return noise / level


def cut(noise: Tensor) -> Tensor:
    """The noise at its strength, within -1 and 1."""
    return (noise * STRENGTH).clamp(-1, 1)


def run(filters: Tensor, start: Tensor, edge: int) -> Tensor:
    """float [n, c, edge, edge], the process from its start: two rows, then two columns of the rest.

    All numbers on a line from lower left to upper right are worked out at once: they need only earlier lines.
    """
    n, channels = start.shape[:2]
    begun = start.reshape(n * channels, -1).T
    weights = filters.reshape(n * channels, 8).T.contiguous()
    row = torch.arange(edge, device=start.device)[:, None]
    line = row + row.T
    row = row.expand(edge, edge)
    # number (i, j) stands in lines[i + j, i], so that windows are slices
    lines = torch.zeros((2 * edge - 1, edge, n * channels), dtype=start.dtype, device=start.device)
    lines[line[:2], row[:2]] = begun[: 2 * edge].reshape(2, edge, -1)
    lines[line[2:, :2], row[2:, :2]] = begun[2 * edge :].reshape(edge - 2, 2, -1)
    for total in range(4, 2 * edge - 1):
        first, end = max(2, total - edge + 1), min(edge, total - 1)
        here = lines[total, first:end]
        for weight, (up, left) in zip(weights, BEFORE, strict=True):
            here.addcmul_(lines[total - up - left, first - up : end - up], weight)
    return lines[line, row].permute(2, 0, 1).reshape(n, channels, edge, edge)


def residual(noise: Tensor, filters: Tensor) -> Tensor:
    """float [n, c, h-2, w-2]: how far numbers lie from what their windows say; zero for the process itself.

    noise: float [n, c, h, w]; filters: float [n, c, 8].
    """
    height, width = noise.shape[-2:]
    windows = [noise[..., 2 - row : height - row, 2 - column : width - column] for row, column in BEFORE]
    return noise[..., 2:, 2:] - (torch.stack(windows, -1) * filters[:, :, None, None]).sum(-1)
