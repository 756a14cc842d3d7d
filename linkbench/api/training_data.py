"""What a recipe is given, and what it gives back: photos in batches with labels and genomes; training curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.data import Array
from linkbench.api.schema import Schema


def to_unit(photos: Array) -> Tensor:
    """uint8 or float [n, 3, h, w] as a float32 tensor in [0, 1], on the CPU; a copy.

    Memory maps are read-only and torch wants writable memory; a division on another device may round the last bit
    another way.
    """
    if photos.dtype == np.uint8:
        return torch.from_numpy(np.array(photos)).float().div_(255.0)
    return torch.from_numpy(np.array(photos, dtype=np.float32))


class Photos:
    """Photos that stay where they are, in memory or on disk, and are handed out in batches.

    array: uint8 or float [N, 3, h, w]; rows: int64 [n], which of them, in which order (all by default); instead:
    replacements for some of the N, as (int64 [t] which, uint8 or float [t, 3, h, w]).
    """

    def __init__(self, array: Array, rows: Array | None = None, instead: tuple[Array, Array] | None = None) -> None:
        self.array = array
        self.rows = np.arange(len(array)) if rows is None else rows
        self.other: Array | None = None
        if instead is not None:
            self.place = np.full(len(array), -1)
            self.place[instead[0]] = np.arange(len(instead[0]))
            self.other = instead[1]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Edge in pixels."""
        return int(self.array.shape[-1])

    def keys(self, numbers: Array) -> Array:
        """int64 [b], a key of its own for each copy of a photo; numbers: copy * n + photo.

        The key of the first copy is the photo's row; those of later copies are larger than every row.
        """
        copy, index = np.divmod(numbers, len(self))
        keys: Array = self.rows[index] + copy * len(self.array)
        return keys

    def batch(self, index: Array) -> Tensor:
        """float32 [b, 3, h, w] in [0, 1], on the CPU."""
        rows = self.rows[index]
        out = to_unit(self.array[rows])
        if self.other is not None:
            replaced = np.flatnonzero(self.place[rows] >= 0)
            if len(replaced):
                out[torch.from_numpy(replaced)] = to_unit(self.other[self.place[rows[replaced]]])
        return out


class Seen(Photos):
    """Photos as a filter shows them: view is a module from photos float [b, 3, h, w] to the same."""

    def __init__(self, photos: Photos, view: nn.Module) -> None:
        self.photos, self.view = photos, view
        self.array, self.rows = photos.array, photos.rows

    def batch(self, index: Array) -> Tensor:
        """float32 [b, 3, h, w] on the CPU; a filter may leave [0, 1]."""
        learned = next(self.view.buffers(), torch.zeros(()))
        with torch.no_grad():
            seen: Tensor = self.view(self.photos.batch(index).to(learned.device)).cpu()
        return seen


@dataclass(frozen=True)
class Examples:
    """Photos of a part of the people. labels: int64 [n, P] (-1 unknown); log_p: float64 [n, V] of the true genomes;
    identity: int64 [n]."""

    photos: Photos
    labels: Array
    log_p: Array
    identity: Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TrainingData:
    """Everything a recipe may use.

    training, validation: people of the two parts, none in both; reference: float64 [R, V], genomes of training people,
    the only ones a trainer has; untrained: gives a fresh network of the same architecture, its weights drawn from
    torch's global generator; started: whether the network already has trained weights; watch: called with the network
    after every epoch, for the harness to measure what no recipe may see, gives a number that goes with the epoch;
    network: where a countermeasure learns, the network as it stands before it is trained; redraw: rows of the cohort
    int64 [n] and variants int64 [n, P] to uint8 [n, 3, h, w], photos drawn again by a cohort that can do so.
    """

    schema: Schema
    training: Examples
    validation: Examples
    reference: Array
    device: str
    seed: int
    untrained: Callable[[], nn.Module] | None = None
    started: bool = False
    watch: Callable[[nn.Module], int] | None = None
    network: nn.Module | None = None
    redraw: Callable[[Array, Array], Array] | None = None


@dataclass
class Report:
    """Training curves.

    history: per epoch {"phase", "epoch", "loss" (mean training loss per phenotype, summed), "validation": {phenotype:
    {"loss", "accuracy", "balanced"}}, "watched": what the data's `watch` gave, where there is one}; best: per
    phenotype the epoch, of the last phase, whose weights were kept; filters: what the network now looks through, the
    first that photos meet first; candidates: what a choice between recipes was made from, see `best-of`.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, int] = field(default_factory=dict)
    filters: tuple[nn.Module, ...] = ()
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def followed_by(self, other: Report) -> Report:
        """The curves of two phases one after the other; all else is the second's."""
        return replace(other, history=self.history + other.history)

    def to_json(self) -> dict[str, Any]:
        """Without the filters, which are part of the predictor."""
        return {"history": self.history, "best": self.best, "candidates": self.candidates}
