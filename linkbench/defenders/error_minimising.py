"""Noise found in turns with a network: min over both of the training loss (Huang et al. 2021), or as bait: the network
learns the true labels, the noise makes it say wrong ones (Li et al. 2026)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.api.data import MISSING, Array
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.progress import advance
from linkbench.api.schema import Schema
from linkbench.errors import PluginError
from linkbench.models.augment import augment
from linkbench.models.losses import Losses
from linkbench.models.predictor import frozen, mixed_precision, parts_of
from linkbench.models.seeding import seeded

BATCH = 64
"""Photos of a step; of a training step a quarter of all, if that is less."""

Labels = tuple[int, ...]


class Parameters(NamedTuple):
    """The parameters of a search; per_sample: noise for each photo, not only for each class; stop: error at which
    the search ends before its rounds do, None: at none; bait: the network starts with the weights of the seen one, and
    the noise goes toward the next variants."""

    epsilon: float
    per_sample: bool
    phenotype: str | None
    rounds: int
    train_steps: int
    steps: int
    step_size: float
    stop: float | None
    learning_rate: float
    augment: float
    bait: bool

    @property
    def crossing(self) -> int:
        """Rounds until the noise can have moved from one end of its range to the other.

        A few hundred photos are learned by heart before that, and a small error says nothing about the noise.
        """
        return math.ceil(2 * self.epsilon / (self.steps * self.step_size) - 1e-9) if self.step_size else 0


class Noise(NamedTuple):
    """What was learned.

    positions: the phenotypes whose variants make a class; classes: row of by_class for the variants of a class; rows:
    row of by_sample for the key of a photo; by_class float32 [C, 3, h, w], by_sample float16 [n, 3, h, w] (n = 0 where
    noise goes by class), both signs, [0, 1] pixel units; error: of the network on the noisy photos, worst phenotype,
    after each round.
    """

    positions: tuple[int, ...]
    classes: dict[Labels, int]
    rows: dict[int, int]
    by_class: Tensor
    by_sample: Tensor
    error: tuple[float, ...]


def classes_of(labels: Array, positions: tuple[int, ...]) -> tuple[dict[Labels, int], Array]:
    """The classes that occur, and the class int64 [n] of each photo; MISSING where no label is known."""
    chosen = labels[:, positions]
    known = (chosen != MISSING).any(axis=1)
    found, member = np.unique(chosen[known], axis=0, return_inverse=True)
    out = np.full(len(labels), MISSING)
    out[known] = member.reshape(-1)
    return {tuple(row): number for number, row in enumerate(found.tolist())}, out


def following(labels: Tensor, schema: Schema) -> Tensor:
    """int64 [n, P], the next variant of each, cyclically; MISSING stays."""
    counts = torch.tensor([len(schema[name]) for name in schema])
    return torch.where(labels == MISSING, labels, (labels + 1) % counts)


def knowing(predictor: nn.Module | None) -> nn.Module:
    """A copy of the seen predictor's network that can learn; of several, all of them as one."""
    assert predictor is not None  # whoever asks for one in `needs` is not called without
    return copy.deepcopy(getattr(predictor, "network", predictor)).requires_grad_(True)


def find_noise(study_set: StudySet, plan: Parameters) -> Noise:
    """Train a little, change the noise, again and again, until the error on the noisy photos is small.

    Raises PluginError where there are not two classes.
    """
    assert study_set.labels is not None
    names = study_set.schema.names
    positions = tuple(range(len(names))) if plan.phenotype is None else (names.index(plan.phenotype),)
    classes, member = classes_of(study_set.labels, positions)
    if len(classes) < 2:
        what = "any phenotype" if plan.phenotype is None else repr(plan.phenotype)
        raise PluginError(
            f"the poison needs photos with two or more variants of {what}, it was given {len(classes)}: noise that "
            f"tells no classes apart hides nothing"
        )
    with seeded(study_set.device, seeds.derive(study_set.seed, "unlearnable")):
        return _Search(study_set, plan, positions, classes, member).run()


class _Search:
    """The state of the search: one network, one noise for each class or photo."""

    def __init__(
        self,
        study_set: StudySet,
        plan: Parameters,
        positions: tuple[int, ...],
        classes: dict[Labels, int],
        member: Array,
    ) -> None:
        assert study_set.untrained is not None
        assert study_set.labels is not None
        self.study_set, self.plan, self.positions, self.classes = study_set, plan, positions, classes
        self.device = torch.device(study_set.device)
        self.known = np.flatnonzero(member != MISSING)  # photos without labels teach nothing and get no noise
        self.member = torch.from_numpy(member)
        self.labels = torch.from_numpy(np.array(study_set.labels))
        self.wanted = following(self.labels, study_set.schema) if plan.bait else self.labels
        self.network = (knowing(study_set.predictor) if plan.bait else study_set.untrained()).to(self.device)
        parts = parts_of(self.network, study_set.schema)
        self.parts = [part for part in parts if set(part.phenotypes) & set(positions)]
        self.losses = Losses(study_set.schema, study_set.labels, 1.0, study_set.device)
        shape = (3, *study_set.pixels(np.arange(1)).shape[-2:])
        count = len(study_set) if plan.per_sample else len(classes)
        # on the CPU, for photos may be many; the network's small batches travel
        self.noise = torch.empty(count, *shape, dtype=torch.float16 if plan.per_sample else torch.float32)
        self.noise.uniform_(-plan.epsilon, plan.epsilon)
        self.random = torch.Generator().manual_seed(seeds.derive(study_set.seed, "unlearnable", "augment"))

    def run(self) -> Noise:
        weights = [weight for part in self.parts for weight in part.network.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=self.plan.learning_rate)
        order = self._batches()
        errors: list[float] = []
        for rounds in range(self.plan.rounds if self.plan.epsilon > 0 else 0):
            for _ in range(self.plan.train_steps):
                self._train(optimiser, next(order))
            with frozen(self.network), mixed_precision(self.device):
                if self.plan.per_sample:
                    self._change_samples()
                else:
                    self._change_classes()
                errors.append(self._error())
            advance(rounds + 1, self.plan.rounds)
            stop = self.plan.stop
            if stop is not None and errors[-1] <= stop and rounds + 1 >= self.plan.crossing:
                break
        keys = self.study_set.keys.tolist() if self.plan.per_sample else []
        by_sample = self.noise if self.plan.per_sample else self.noise[:0].half()
        by_class = self._class_means() if self.plan.per_sample else self.noise
        rows = {keys[row]: row for row in self.known.tolist()} if keys else {}
        return Noise(self.positions, self.classes, rows, by_class, by_sample, tuple(errors))

    def _batches(self) -> Iterator[Array]:
        size = max(2, min(BATCH, len(self.known) // 4))
        epoch = 0
        while True:
            order = seeds.generator(self.study_set.seed, "unlearnable", "order", epoch).permutation(self.known)
            yield from np.array_split(order, max(1, len(order) // size))
            epoch += 1

    def _place(self, index: Array) -> Tensor:
        """int64 [b], the rows of the noise of some photos."""
        return torch.from_numpy(index) if self.plan.per_sample else self.member[index]

    def _noise(self, index: Array) -> Tensor:
        return self.noise[self._place(index)].to(self.device, torch.float32)

    def _shown(self, photos: Tensor, noise: Tensor) -> Tensor:
        return augment((photos + noise).clamp(0, 1), self.plan.augment, self.random)

    def _logits(self, photos: Tensor) -> dict[int, Tensor]:
        """Logits [b, K] of the phenotypes of the classes, by position; no other network runs."""
        spans = list(self.study_set.schema.slices.values())
        out: dict[int, Tensor] = {}
        for part in self.parts:
            logits = part.network(photos)
            for position in part.phenotypes:
                out[position] = logits if len(part.phenotypes) == 1 else logits[:, spans[position]]
        return {position: out[position] for position in self.positions}

    def _each(self, photos: Tensor, labels: Tensor) -> Tensor:
        """[b], the loss of each photo by labels int64 [b, P], summed over phenotypes; unknown variants add nothing."""
        labels = labels.to(self.device)
        logits = self._logits(photos)
        return torch.stack([self.losses.each(logits[at], labels[:, at], at) for at in self.positions]).sum(dim=0)

    def _train(self, optimiser: torch.optim.Optimizer, index: Array) -> None:
        self.network.train()
        optimiser.zero_grad(set_to_none=True)
        with mixed_precision(self.device):
            shown = self._shown(self.study_set.pixels(index), self._noise(index))
            loss = self._each(shown, self.labels[index]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _parts_of_all(self) -> list[Array]:
        return np.array_split(self.known, -(-len(self.known) // BATCH))

    def _change_samples(self) -> None:
        """`steps` signed steps of each photo's own noise, down the loss of what it is wanted to say."""
        for index in self._parts_of_all():
            photos, noise = self.study_set.pixels(index), self._noise(index)
            for _ in range(self.plan.steps):
                noise = self._down(noise, self._gradient(photos, noise, index))
            self.noise[self._place(index)] = noise.half().cpu()

    def _change_classes(self) -> None:
        """`steps` signed steps of each class's noise, down the loss of all its photos together."""
        for _ in range(self.plan.steps):
            total = torch.zeros_like(self.noise)
            for index in self._parts_of_all():
                gradient = self._gradient(self.study_set.pixels(index), self._noise(index), index)
                total.index_add_(0, self._place(index), gradient.float().cpu())
            self.noise = self._down(self.noise, total)

    def _gradient(self, photos: Tensor, noise: Tensor, index: Array) -> Tensor:
        with torch.enable_grad():
            noise = noise.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self._each(self._shown(photos, noise), self.wanted[index]).sum(), noise)
        return gradient

    def _down(self, noise: Tensor, gradient: Tensor) -> Tensor:
        epsilon = self.plan.epsilon
        return (noise.detach() - self.plan.step_size * gradient.sign()).clamp_(-epsilon, epsilon)

    def _error(self) -> float:
        """The part of known variants predicted wrongly on the noisy photos, of the worst phenotype."""
        wrong = torch.zeros(len(self.positions), 2)
        with torch.no_grad():
            for index in self._parts_of_all():
                logits = self._logits((self.study_set.pixels(index) + self._noise(index)).clamp(0, 1))
                for row, at in enumerate(self.positions):
                    labels = self.labels[index, at]
                    known = labels != MISSING
                    missed = (logits[at].argmax(dim=1).cpu() != labels) & known
                    wrong[row] += torch.tensor([missed.sum(), known.sum()])
        return float((wrong[:, 0] / wrong[:, 1].clamp(min=1)).max())

    def _class_means(self) -> Tensor:
        """float32 [C, 3, h, w]: the mean noise of a class's photos, for photos that were not studied."""
        out = torch.zeros(len(self.classes), *self.noise.shape[1:])
        place = self.member[self.known]
        out.index_add_(0, place, self.noise[self.known].float())
        return out / torch.bincount(place, minlength=len(out)).view(-1, 1, 1, 1)


def add_noise(photos: Tensor, knowledge: Knowledge, epsilon: float) -> Tensor:
    """Photos float [n, 3, h, w] with their noise, in [0, 1]. Raises PluginError where nothing was learned."""
    learned = knowledge.learned
    if not isinstance(learned, Noise):
        raise PluginError("the poison finds its noise on photos that it has studied, but was given none")
    labels = knowledge.labels
    assert labels is not None
    noise = torch.zeros(photos.shape, dtype=photos.dtype)
    for row, (key, variants) in enumerate(zip(knowledge.keys, labels[:, learned.positions].tolist(), strict=True)):
        if key in learned.rows:
            noise[row] = learned.by_sample[learned.rows[key]]
        elif tuple(variants) in learned.classes:
            noise[row] = learned.by_class[learned.classes[tuple(variants)]]
    return (photos + noise.clamp_(-epsilon, epsilon).to(photos.device)).clamp_(0, 1)
