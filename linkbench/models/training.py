"""The training loop behind every recipe."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.api.progress import advance
from linkbench.api.training_data import Examples, Report, TrainingData
from linkbench.errors import InputError
from linkbench.models.augment import augment
from linkbench.models.filters import bare
from linkbench.models.losses import Losses, Score
from linkbench.models.networks import Part
from linkbench.models.predictor import batch_size, frozen, mixed_precision, parts_of, place
from linkbench.models.seeding import seeded


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


class _Head:
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


def fit(network: nn.Module, data: TrainingData, plan: Schedule, transform: Transform | None = None) -> Report:
    """Train the network in place. Networks that share no weights (`parts()`) are stopped one by one.

    transform is called on each batch after the augmentation. Raises InputError if the loss is not finite.
    """
    examples, device = data.training, torch.device(data.device)
    place(network, data.device)
    front, learner = bare(network)  # filters have nothing to learn: each batch passes them once, whatever is behind
    heads = [_Head(part) for part in parts_of(learner, data.schema)]
    losses = Losses(data.schema, examples.labels, plan.balance, data.device)
    rate = plan.learning_rate or suited_rate(network)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=rate, weight_decay=plan.weight_decay)
    size = plan.photos_per_step(len(examples), data.device)
    keys = np.arange(len(examples) * plan.copies)
    per_epoch = -(-len(keys) // size)
    report = Report()
    with seeded(data.device, seeds.derive(data.seed, plan.phase)):
        for epoch in range(plan.epochs):
            learning = [head for head in heads if head.learning]
            if not learning:
                break
            order = seeds.generator(data.seed, plan.phase, "order", epoch).permutation(keys)
            random = torch.Generator().manual_seed(seeds.derive(data.seed, plan.phase, "augment", epoch))
            total = torch.zeros((), device=device)
            # batches of equal size: one of a single photo would have no variance to normalise by
            for done, part in enumerate(np.array_split(order, per_epoch)):
                for group in optimiser.param_groups:
                    group["lr"] = rate * plan.rate(epoch * per_epoch + done, plan.epochs * per_epoch)
                index = part % len(examples)
                photos = examples.photos.batch(index).to(device=device, memory_format=torch.channels_last)
                photos = augment(photos, plan.augment, random)
                told = Batch(index, examples.photos.keys(part), epoch)
                given = photos if transform is None else transform(photos, told)
                labels = torch.from_numpy(examples.labels[index]).to(device)
                with torch.no_grad():
                    given = front(given) if isinstance(given, Tensor) else [front(each) for each in given]
                total += _step(learning, given, labels, losses, optimiser, learner) * len(part)
                advance(epoch * per_epoch + done + 1, plan.epochs * per_epoch)
            if not math.isfinite(float(total)):
                raise InputError(
                    f"training diverged in epoch {epoch + 1}: the loss is not finite; choose a learning_rate below "
                    f"{rate:g}"
                )
            scores = examine(network, data.validation, losses, data.device)
            for head in learning:
                head.hear(scores, epoch, plan.patience)
            named = dict(zip(data.schema, (score._asdict() for score in scores), strict=True))
            row = {"phase": plan.phase, "epoch": epoch, "loss": float(total) / len(keys), "validation": named}
            if data.watch is not None:
                row["watched"] = data.watch(network)
            report.history.append(row)
    for head in heads:
        head.restore()
        report.best |= {data.schema.names[position]: head.best_epoch for position in head.phenotypes}
    return report


def _step(
    learning: list[_Head],
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
        for head in learning:
            logits = head.network(photos) if isinstance(photos, Tensor) else None
            for position in head.phenotypes:
                own = head.network(photos[position]) if logits is None else logits
                if len(head.phenotypes) > 1:
                    own = own[:, spans[position]]
                sums = sums + losses.mean(own, labels[:, position], position)
    sums.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return sums.detach()


def examine(network: nn.Module, examples: Examples, losses: Losses, device: str) -> list[Score]:
    """The score of each phenotype on examples, in evaluation mode."""
    schema = losses.schema
    if not len(examples):
        return [Score(None, None, None)] * len(schema)
    size = batch_size(examples.photos.size, device)
    with frozen(network), torch.inference_mode():
        parts = [
            network(examples.photos.batch(index).to(device=device, memory_format=torch.channels_last)).float().cpu()
            for index in np.array_split(np.arange(len(examples)), -(-len(examples) // size))
        ]
    logits, labels = torch.cat(parts).to(device), torch.from_numpy(np.array(examples.labels)).to(device)
    return [
        losses.score(logits[:, span], labels[:, position], position)
        for position, span in enumerate(schema.slices.values())
    ]
