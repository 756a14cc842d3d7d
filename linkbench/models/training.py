"""The training loop behind every recipe."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.errors import InputError
from linkbench.models.augment import augment
from linkbench.api.training_data import Classroom, Lesson, Photos
from linkbench.models.seeding import seeded
from linkbench.models.filters import Filter, bare
from linkbench.models.losses import Losses, Score
from linkbench.models.networks import Part
from linkbench.models.predictor import batch_size, frozen, mixed_precision, parts_of, place
from linkbench.api.progress import advance
from linkbench.api.data import Array

__all__ = ["Batch", "Classroom", "Lesson", "Photos", "Plan", "Report", "fit"]


@dataclass
class Report:
    """Training curves.

    history: per epoch {"phase", "epoch", "loss" (mean training loss per phenotype, summed), "validation": {phenotype:
    {"loss", "accuracy", "balanced"}}, "watched": what the classroom's `watch` gave, where there is one}; best: per
    phenotype the epoch, of the last phase, whose weights were kept; filters: what the network now looks through, the
    first that photos meet first; candidates: what a choice between recipes was made from, see `best-of`.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, int] = field(default_factory=dict)
    filters: tuple[Filter, ...] = ()
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def followed_by(self, other: Report) -> Report:
        """The curves of two phases one after the other; all else is the second's."""
        return replace(other, history=self.history + other.history)

    def to_json(self) -> dict[str, Any]:
        """Without the filters, which are part of the predictor."""
        return {"history": self.history, "best": self.best, "candidates": self.candidates}


class Batch(NamedTuple):
    """What a batch transform is told. rows: int64 [b], which training photos; keys: int64 [b], a number for each
    photo and copy, that of the first copy being the photo's row in the cohort; epoch counts from 0."""

    rows: Array
    keys: Array
    epoch: int


Transform = Callable[[Tensor, Batch], Tensor | Sequence[Tensor]]
"""Photos of a batch to the photos to train on, or to one batch for each phenotype."""


class Plan(NamedTuple):
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


class _Pupil:
    """A network that learns alone, and when it was best."""

    def __init__(self, part: Part) -> None:
        self.network, self.phenotypes = part
        self.best, self.best_epoch, self.learning = math.inf, 0, True
        self.kept: dict[str, Any] | None = None

    def hear(self, scores: Sequence[Score], epoch: int, patience: int | None) -> None:
        """After an epoch: keep the weights if they are the best so far, stop if that is long ago."""
        losses = [loss for phenotype in self.phenotypes if (loss := scores[phenotype].loss) is not None]
        if patience is None or not losses:
            self.best_epoch = epoch
        elif sum(losses) < self.best:
            self.best, self.best_epoch = sum(losses), epoch
            self.kept = copy.deepcopy(self.network.state_dict())
        elif epoch - self.best_epoch >= patience:
            self.learning = False

    def restore(self) -> None:
        if self.kept is not None:
            self.network.load_state_dict(self.kept)


def fit(network: nn.Module, classroom: Classroom, plan: Plan, transform: Transform | None = None) -> Report:
    """Train the network in place. Networks that share no weights (`parts()`) are stopped one by one.

    transform is called on each batch after the augmentation. Raises InputError if the loss is not finite.
    """
    lesson, device = classroom.training, torch.device(classroom.device)
    place(network, classroom.device)
    front, learner = bare(network)  # filters have nothing to learn: each batch passes them once, whatever is behind
    pupils = [_Pupil(part) for part in parts_of(learner, classroom.schema)]
    losses = Losses(classroom.schema, lesson.labels, plan.balance, classroom.device)
    rate = plan.learning_rate or suited_rate(network)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=rate, weight_decay=plan.weight_decay)
    size = plan.photos_per_step(len(lesson), classroom.device)
    keys = np.arange(len(lesson) * plan.copies)
    per_epoch = -(-len(keys) // size)
    report = Report()
    with seeded(classroom.device, seeds.derive(classroom.seed, plan.phase)):
        for epoch in range(plan.epochs):
            learning = [pupil for pupil in pupils if pupil.learning]
            if not learning:
                break
            order = seeds.generator(classroom.seed, plan.phase, "order", epoch).permutation(keys)
            random = torch.Generator().manual_seed(seeds.derive(classroom.seed, plan.phase, "augment", epoch))
            total = torch.zeros((), device=device)
            # batches of equal size: one of a single photo would have no variance to normalise by
            for done, part in enumerate(np.array_split(order, per_epoch)):
                for group in optimiser.param_groups:
                    group["lr"] = rate * plan.rate(epoch * per_epoch + done, plan.epochs * per_epoch)
                index = part % len(lesson)
                photos = lesson.photos.batch(index).to(device=device, memory_format=torch.channels_last)
                photos = augment(photos, plan.augment, random)
                told = Batch(index, lesson.photos.keys(part), epoch)
                given = photos if transform is None else transform(photos, told)
                labels = torch.from_numpy(lesson.labels[index]).to(device)
                with torch.no_grad():
                    given = front(given) if isinstance(given, Tensor) else [front(each) for each in given]
                total += _step(learning, given, labels, losses, optimiser, learner) * len(part)
                advance(epoch * per_epoch + done + 1, plan.epochs * per_epoch)
            if not math.isfinite(float(total)):
                raise InputError(
                    f"training diverged in epoch {epoch + 1}: the loss is not finite; choose a learning_rate below "
                    f"{rate:g}"
                )
            scores = examine(network, classroom.validation, losses, classroom.device)
            for pupil in learning:
                pupil.hear(scores, epoch, plan.patience)
            named = dict(zip(classroom.schema, (score._asdict() for score in scores), strict=True))
            row = {"phase": plan.phase, "epoch": epoch, "loss": float(total) / len(keys), "validation": named}
            if classroom.watch is not None:
                row["watched"] = classroom.watch(network)
            report.history.append(row)
    for pupil in pupils:
        pupil.restore()
        report.best |= {classroom.schema.names[position]: pupil.best_epoch for position in pupil.phenotypes}
    return report


def _step(
    learning: list[_Pupil],
    photos: Tensor | Sequence[Tensor],
    labels: Tensor,
    losses: Losses,
    optimiser: torch.optim.Optimizer,
    network: nn.Module,
) -> Tensor:
    """One update of the networks that still learn; the summed loss."""
    network.train()
    optimiser.zero_grad(set_to_none=True)
    spans = list(losses.schema.slices.values())
    device = labels.device
    sums = torch.zeros((), device=device)
    with mixed_precision(device):
        for pupil in learning:
            logits = pupil.network(photos) if isinstance(photos, Tensor) else None
            for position in pupil.phenotypes:
                own = pupil.network(photos[position]) if logits is None else logits
                if len(pupil.phenotypes) > 1:
                    own = own[:, spans[position]]
                sums = sums + losses.mean(own, labels[:, position], position)
    sums.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return sums.detach()


def examine(network: nn.Module, lesson: Lesson, losses: Losses, device: str) -> list[Score]:
    """The score of each phenotype on a lesson, in evaluation mode."""
    schema = losses.schema
    if not len(lesson):
        return [Score(None, None, None)] * len(schema)
    size = batch_size(lesson.photos.size, device)
    with frozen(network), torch.inference_mode():
        parts = [
            network(lesson.photos.batch(index).to(device=device, memory_format=torch.channels_last)).float().cpu()
            for index in np.array_split(np.arange(len(lesson)), -(-len(lesson) // size))
        ]
    logits, labels = torch.cat(parts).to(device), torch.from_numpy(np.array(lesson.labels)).to(device)
    return [
        losses.score(logits[:, span], labels[:, position], position)
        for position, span in enumerate(schema.slices.values())
    ]
