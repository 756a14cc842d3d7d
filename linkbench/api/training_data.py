"""What a recipe is given: photos in batches, labels, genomes, and a way to set a defender on a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.harness.budget import project
from linkbench.api.base import Defender
from linkbench.api.knowledge import Knowledge, Material
from linkbench.models.predictor import Predictor, frozen, mixed_precision
from linkbench.api.training_data import to_unit
from linkbench.api.schema import Schema
from linkbench.harness.adoption import users
from linkbench.api.data import Array


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
        """int64 [b], a key for each photo and copy, numbered copy * n + photo: the row, for later copies beyond all."""
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
class Lesson:
    """Photos of a part of the people. labels: int64 [n, P] (-1 unknown); log_p: float64 [n, V] of the true genomes;
    identity: int64 [n]."""

    photos: Photos
    labels: Array
    log_p: Array
    identity: Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Classroom:
    """Everything a recipe may use.

    training, validation: people of the two parts, none in both; reference: float64 [R, V], genomes of training people,
    the only ones a trainer has; untrained: gives a fresh network of the same architecture, its weights drawn from
    torch's global generator; started: whether the network already has trained weights; watch: called with the network
    after every epoch, for the harness to measure what no recipe may see, gives a number that goes with the epoch.
    """

    schema: Schema
    training: Lesson
    validation: Lesson
    reference: Array
    device: str
    seed: int
    untrained: Callable[[], nn.Module] | None = None
    started: bool = False
    watch: Callable[[nn.Module], int] | None = None

    def learn(self, defender: Defender, network: nn.Module, purpose: str) -> Any:
        """What the defender works out from the training photos before it changes any, None if it does not learn."""
        if type(defender).learn is Defender.learn:
            return None
        lesson = self.training
        with frozen(network):
            return defender.learn(
                Material(
                    schema=self.schema,
                    pixels=lambda index: lesson.photos.batch(index).to(self.device),
                    keys=lesson.photos.rows,
                    labels=np.array(lesson.labels) if "labels" in defender.needs else None,
                    identity=np.array(lesson.identity),
                    size=lesson.photos.size,
                    device=self.device,
                    seed=seeds.derive(self.seed, purpose, "learn"),
                    predictor=Predictor(network, self.schema).eval() if "predictor" in defender.needs else None,
                    untrained=self.untrained,
                )
            )

    def defend(
        self,
        defender: Defender,
        photos: Tensor,
        index: Array,
        network: nn.Module,
        purpose: str,
        *,
        keys: Array | None = None,
        lesson: Lesson | None = None,
        learned: Any = None,
    ) -> Tensor:
        """What the defender makes of a batch, projected to its budget: float [b, 3, h, w] on the photos' device.

        index: int64 [b], which photos of the lesson (the training one by default); network: the predictor it sees,
        whatever the defender's own `knowledge` says; purpose and keys, int64 [b] (by default the photos' rows in the
        cohort), name the random numbers; learned: what `learn` gave. Photos of people who, by the defender's rate, do
        not use it stay as they are. Raises PluginError for a wrong shape or numbers that are not finite.
        """
        lesson = lesson or self.training

        def tensor(array: Array) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(photos.device)

        with frozen(network), mixed_precision(photos.device):
            knowledge = Knowledge(
                schema=self.schema,
                keys=tuple((lesson.photos.rows[index] if keys is None else keys).tolist()),
                seed=seeds.derive(self.seed, purpose),
                predictor=Predictor(network, self.schema).eval() if "predictor" in defender.needs else None,
                log_p=tensor(lesson.log_p[index]) if "genome" in defender.needs else None,
                reference=tensor(self.reference) if "reference" in defender.needs else None,
                labels=tensor(lesson.labels[index]) if "labels" in defender.needs else None,
                learned=learned,
            )
            changed = defender.perturb(photos.clone(), knowledge)
        changed = project(photos, changed.detach(), getattr(defender, "epsilon", None))
        if defender.rate < 1 or defender.identities is not None:
            using = users(lesson.identity, defender, seeds.derive(self.seed, "users"))[index]
            changed = torch.where(tensor(using)[:, None, None, None], changed, photos)
        return changed


@contextlib.contextmanager
def seeded(device: str, seed: int) -> Iterator[None]:
    """Torch's global generators start from a seed inside, and are as before outside."""
    index = torch.device(device).index or 0
    with torch.random.fork_rng(devices=[index] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield
