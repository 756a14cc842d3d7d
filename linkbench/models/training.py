"""The training loop behind every recipe."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import checkpoints, seeds
from linkbench.api.cores import one_thread
from linkbench.api.data import Array
from linkbench.api.progress import advance
from linkbench.api.training_data import Examples, Report, TrainingData
from linkbench.errors import InputError
from linkbench.models import resume
from linkbench.models.augment import augment
from linkbench.models.batches import batch_size
from linkbench.models.data_parallel import Together, devices_for, together
from linkbench.models.filters import bare
from linkbench.models.heads import Head
from linkbench.models.losses import Losses, Score
from linkbench.models.predictor import frozen, parts_of, place, upload
from linkbench.models.seeding import reseed, seeded
from linkbench.models.side_by_side import side_by_side


class Batch(NamedTuple):
    """What a batch transform is told. rows: int64 [b], which training photos; keys: int64 [b], a number for each
    photo and copy, that of the first copy being the photo's row in the cohort; epoch counts from 0."""

    rows: Array
    keys: Array
    epoch: int


Transform = Callable[[Tensor, Batch], Tensor | Sequence[Tensor]]
"""Photos of a batch to the photos to train on, or to one batch for each phenotype."""


class Schedule(NamedTuple):
    """How to train.

    epochs: passes over the training photos, at most; patience: epochs without a better validation loss before a network
    stops and gets its best weights back (None: no early stopping, the last weights stay); learning_rate: the highest,
    None for `suited_rate`; schedule: `one-cycle` rises over the first tenth and falls to 0 as a cosine, `constant` does
    neither; batch: photos per step, None for a tenth of the photos, 16 to 32 on a CPU and 16 to 256 on CUDA; balance:
    see Losses; augment: strength, see linkbench.models.augment; copies: how often each photo comes in an epoch.
    """

    epochs: int
    learning_rate: float | None = None
    patience: int | None = None
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    batch: int | None = None
    weight_decay: float = 0.01
    balance: float = 1.0
    augment: float = 1.0
    copies: int = 1
    phase: str = "train"

    def photos_per_step(self, count: int, device: str) -> int:
        return self.batch or min(max(16, count // 10), 32 if device == "cpu" else 256)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, as a part of the highest."""
        if self.schedule == "constant":
            return 1.0
        part = (step + 1) / (steps + 1)
        return part / 0.1 if part < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (part - 0.1) / 0.9)


def suited_rate(network: nn.Module) -> float:
    """The lowest learning rate that a part of the network asks for (its attribute `learning_rate`); else 0.002."""
    asked = [getattr(module, "learning_rate", None) for module in network.modules()]
    return min((rate for rate in asked if isinstance(rate, float)), default=0.002)


def fit(network: nn.Module, data: TrainingData, plan: Schedule, transform: Transform | None = None) -> Report:
    """Train the network in place. Networks that share no weights (`parts()`) learn side by side, each on one thread of
    the processor, and are stopped one by one; random numbers depend on the network, the epoch and the batch alone.
    Large ones share their batches among all GPUs that are seen (see data_parallel).

    transform is called on each batch after the augmentation. Raises InputError if the loss is not finite.
    """
    with seeded(data.device, seeds.derive(data.seed, plan.phase)), one_thread(), contextlib.ExitStack() as stack:
        training = _Training(network, data, plan, transform)
        training.go_on()
        devices = devices_for(training.heads, data.device, len(training.keys) // training.per_epoch)
        if len(devices) > 1:
            training.others = stack.enter_context(together(training.heads, devices))
        while training.epoch < plan.epochs and training.learning:
            training.pass_over()
        return training.finish()


class _Training:
    """A training as it goes: its networks, the curves so far, the epoch, and what of that is done: steps and loss."""

    def __init__(self, network: nn.Module, data: TrainingData, plan: Schedule, transform: Transform | None) -> None:
        self.network, self.data, self.plan, self.transform = network, data, plan, transform
        self.device = torch.device(data.device)
        place(network, data.device)
        # filters have nothing to learn: each batch passes them once, whatever is behind
        self.front, self.learner = bare(network)
        self.losses = Losses(data.schema, data.training.labels, plan.balance, data.device)
        self.rate = plan.learning_rate or suited_rate(network)
        parts = parts_of(self.learner, data.schema)
        self.heads = [Head(part, self.losses, self.rate, plan.weight_decay) for part in parts]
        self.keys = np.arange(len(data.training) * plan.copies)
        self.per_epoch = -(-len(self.keys) // plan.photos_per_step(len(data.training), data.device))
        self.report = Report()
        self.epoch, self.done, self.total = 0, 0, torch.zeros((), device=self.device)
        self.place, self.begun = checkpoints.current(), time.monotonic()
        self.number, self.origin = 0, ""
        self.others: Together | None = None

    def go_on(self) -> None:
        """Be as far as a checkpoint of the same training was, where there is one."""
        if self.place is None:
            return
        facts = (self.plan, self.data.seed, self.data.schema.to_json(), len(self.keys), self.device.type)
        self.number, self.origin = self.place.begin(), resume.origin(self.heads, facts)
        found = self.place.find(self.number, self.origin)
        if found is None:
            return
        along = resume.bring_back(self.heads, found)
        self.total = torch.from_numpy(along.pop("total")).to(self.device)
        if self.place.companion is not None:
            self.place.companion.bring_back(along)
        self.epoch, self.done = found.meta["epoch"], found.meta["done"]
        self.report.history = found.meta["history"]

    def keep(self) -> None:
        """Write down how far the training is."""
        assert self.place is not None
        along = {} if self.place.companion is None else self.place.companion.state()
        meta = {"origin": self.origin, "epoch": self.epoch, "done": self.done, "history": self.report.history}
        kept = resume.state(self.heads, {**along, "total": resume.packed(self.total)}, meta)
        self.place.keep(self.number, self.epoch * self.per_epoch + self.done, kept)

    @property
    def learning(self) -> list[Head]:
        """The networks that have not stopped."""
        return [head for head in self.heads if head.learning]

    def pass_over(self) -> None:
        """One pass over the training photos, or what is left of it, and a look at the validation photos."""
        data, plan, learning, epoch = self.data, self.plan, self.learning, self.epoch
        order = seeds.generator(data.seed, plan.phase, "order", epoch).permutation(self.keys)
        # batches of equal size: one of a single photo would have no variance to normalise by
        for part in np.array_split(order, self.per_epoch)[self.done :]:
            self.total += self.step(learning, part, epoch, self.done) * len(part)
            self.done += 1
            at = f"epoch {epoch + 1}/{plan.epochs}"
            advance(epoch * self.per_epoch + self.done, plan.epochs * self.per_epoch, at)
            if self.place is not None and self.place.due():
                self.keep()
        total = float(self.total)
        if not math.isfinite(total):
            raise InputError(
                f"training diverged in epoch {epoch + 1}: the loss is not finite; choose a learning_rate below "
                f"{self.rate:g}"
            )
        scores = examine(self.network, data.validation, self.losses, data.device)
        for head in learning:
            head.hear(scores, epoch, plan.patience)
        named = dict(zip(data.schema, (score._asdict() for score in scores), strict=True))
        row = {"phase": plan.phase, "epoch": epoch, "loss": total / len(self.keys), "validation": named}
        if data.watch is not None:
            row["watched"] = data.watch(self.network)
        self.report.history.append(row)
        self.epoch, self.done, self.total = epoch + 1, 0, torch.zeros_like(self.total)

    def step(self, learning: Sequence[Head], part: Array, epoch: int, done: int) -> Tensor:
        """One update of the networks that still learn, by one batch; the summed loss."""
        plan = self.plan
        rate = self.rate * plan.rate(epoch * self.per_epoch + done, plan.epochs * self.per_epoch)
        given, labels = self.batch(part, epoch, done)
        self.learner.train()

        def update(head: Head) -> Tensor:
            number = self.heads.index(head)
            seed = self.seed(epoch, done, number)
            if self.others is not None:
                seen = given if isinstance(given, Tensor) else given[head.phenotypes[0]]
                self.others.tell(number, seen, labels, rate, seed)
            return head.step(given, labels, rate, seed)

        calls = [functools.partial(update, head) for head in learning]
        # processes that share batches must take the networks in the same order
        losses = side_by_side(calls, self.device) if self.others is None else [call() for call in calls]
        return functools.reduce(torch.add, losses)

    def batch(self, part: Array, epoch: int, done: int) -> tuple[Tensor | list[Tensor], Tensor]:
        """The photos that the networks see, or those of each phenotype, and the labels int64 [b, P]."""
        examples = self.data.training
        index = part % len(examples)
        photos = upload(examples.photos.batch(index), self.device)
        random = torch.Generator().manual_seed(self.seed(epoch, done, "augment"))
        photos = augment(photos, self.plan.augment, random)
        reseed(self.device, self.seed(epoch, done, "transform"))
        told = Batch(index, examples.photos.keys(part), epoch)
        given = photos if self.transform is None else self.transform(photos, told)
        labels = torch.from_numpy(examples.labels[index]).to(self.device)
        with torch.no_grad():
            seen = self.front(given) if isinstance(given, Tensor) else [self.front(each) for each in given]
        return seen, labels

    def seed(self, epoch: int, done: int, what: str | int) -> int:
        """Of the random numbers of a network, or of what is done to the photos, in one batch."""
        return seeds.derive(self.data.seed, self.plan.phase, "batch", epoch, done, what)

    def finish(self) -> Report:
        """The best weights come back; the curves. Of a stage with several trainings the long ones are kept."""
        if self.place is not None and time.monotonic() - self.begun >= checkpoints.EVERY / 3:
            self.keep()
        for head in self.heads:
            head.restore()
            names = [self.data.schema.names[position] for position in head.phenotypes]
            self.report.best |= dict.fromkeys(names, head.best_epoch)
        return self.report


def examine(network: nn.Module, examples: Examples, losses: Losses, device: str) -> list[Score]:
    """The score of each phenotype on examples, in evaluation mode."""
    schema = losses.schema
    if not len(examples):
        return [Score(None, None, None)] * len(schema)
    size = batch_size(examples.photos.size, device)
    with frozen(network), torch.inference_mode():
        parts = [
            network(upload(examples.photos.batch(index), device)).float().cpu()
            for index in np.array_split(np.arange(len(examples)), -(-len(examples) // size))
        ]
    logits, labels = torch.cat(parts).to(device), torch.from_numpy(np.array(examples.labels)).to(device)
    return [
        losses.score(logits[:, span], labels[:, position], position)
        for position, span in enumerate(schema.slices.values())
    ]
