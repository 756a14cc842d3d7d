"""What a defender may know about a batch of photos; given out by the harness according to `Defender.needs`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.data import Array
from linkbench.api.schema import Schema
from linkbench.api.seeds import derive
from linkbench.api.training_data import to_unit


@dataclass(frozen=True)
class StudySet:
    """Photos that a defender may study before it changes any, see `Defender.learn`.

    As a poison these are the very photos that it will change; at release time they are other people's, of the
    training split, and those that it will change where `Defender.studies_own` says so.
    pixels(index int64 [b]) -> float32 [b, 3, h, w] in [0, 1] on the device; keys: int64 [n], row of each photo in the
    cohort, as in `Knowledge.keys`; labels: int64 [n, P], -1 unknown, None unless the defender needs `labels`; identity:
    int64 [n]; predictor: as in Knowledge; untrained() -> a fresh network of the seen predictor's architecture, photos
    to logits [n, V], its weights drawn from torch's generator (None without a predictor).
    """

    schema: Schema
    pixels: Callable[[np.ndarray[Any, Any]], Tensor]
    keys: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any] | None
    identity: np.ndarray[Any, Any]
    size: int
    device: str
    seed: int
    predictor: nn.Module | None = None
    untrained: Callable[[], nn.Module] | None = None

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Redraw:
    """The photos of a batch drawn again with other phenotypes, by the cohort that drew them.

    draw: rows int64 [n] and variants int64 [n, P] to uint8 [n, 3, h, w]; rows: int64 [n], the batch's.
    """

    draw: Callable[[Array, Array], Array]
    rows: Array

    def __call__(self, variants: Tensor) -> Tensor:
        """float32 [n, 3, h, w] in [0, 1], on the CPU: each photo as if its person had the variants int64 [n, P]."""
        return to_unit(self.draw(self.rows, variants.cpu().numpy()))


@dataclass(frozen=True)
class Knowledge:
    """One batch's worth of knowledge; what the defender did not ask for is None.

    predictor: photos float [n, 3, h, w] -> log-probabilities [n, V], differentiable, in evaluation mode, its weights
    frozen (ensembles: the mean of the log-probabilities); log_p: float [n, V], log P(variant | true genome) of each
    photo; reference: float [R, V], genomes of a reference population; labels: int64 [n, P], true variants (-1 unknown);
    channel: the publication channel with a gradient, for a defender that optimises through it; keys: one number per
    photo, for its random numbers; identity: who is in each photo, () where nobody says; learned: what the defender's
    own `learn` gave; redraw: the photos drawn again with other phenotypes.
    """

    schema: Schema
    keys: tuple[int, ...]
    seed: int
    predictor: Callable[[Tensor], Tensor] | None = None
    log_p: Tensor | None = None
    reference: Tensor | None = None
    labels: Tensor | None = None
    channel: Callable[[Tensor], Tensor] | None = None
    learned: Any = None
    identity: tuple[int, ...] = ()
    redraw: Redraw | None = None

    def uniform(self, purpose: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """float [n, *shape] in [-1, 1): random numbers of each photo, the same whatever batch it is in.

        Drawn on the CPU, so that every device sees the same numbers, then moved beside `like`.
        """
        out = torch.empty((len(self.keys), *shape), dtype=torch.float32)
        for row, key in enumerate(self.keys):
            generator = torch.Generator().manual_seed(derive(self.seed, purpose, key))
            out[row].uniform_(-1.0, 1.0, generator=generator)
        return out.to(device=like.device, dtype=like.dtype)

    def rows(self, index: Tensor) -> Knowledge:
        """The knowledge about some photos of the batch, int64 [m]: for defenders that stop photo by photo."""
        chosen = index.tolist()
        return replace(
            self,
            keys=tuple(self.keys[row] for row in chosen),
            identity=tuple(self.identity[row] for row in chosen) if self.identity else (),
            log_p=None if self.log_p is None else self.log_p[index],
            labels=None if self.labels is None else self.labels[index],
            redraw=None if self.redraw is None else replace(self.redraw, rows=self.redraw.rows[chosen]),
        )
