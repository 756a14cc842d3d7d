"""One network of a predictor as it learns: its optimiser, its steps, and when it was best."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.models.losses import Losses, Score
from linkbench.models.networks import Part
from linkbench.models.predictor import mixed_precision
from linkbench.models.seeding import reseed

_drawing = threading.Lock()
"""Held by whoever draws from torch's global generator, which all threads share: dropout does."""


class Share(NamedTuple):
    """Which part of every batch a process learns from: the part number `rank` of `parts` about equal ones."""

    rank: int = 0
    parts: int = 1

    def of(self, batch: Tensor) -> Tensor:
        return batch if self.parts == 1 else batch.tensor_split(self.parts)[self.rank]


class Head:
    """A network that learns alone, and when it was best.

    learner, share: the network as it is trained where several processes share the batches (see data_parallel).
    """

    def __init__(self, part: Part, losses: Losses, rate: float, weight_decay: float) -> None:
        self.network, self.phenotypes = part
        self.learner: nn.Module = self.network
        self.share = Share()
        self.losses = losses
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=weight_decay)
        self.best, self.best_epoch, self.learning = math.inf, 0, True
        self.kept: dict[str, Any] | None = None

    def step(self, photos: Tensor | Sequence[Tensor], labels: Tensor, rate: float, seed: int) -> Tensor:
        """One update by photos [b, 3, h, w], or those of each phenotype, and labels int64 [b, P]; the summed loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        rank, parts = self.share
        with _drawing:
            reseed(labels.device, seeds.derive(seed, "share", rank) if rank else seed)
            loss = self._loss(photos, labels)
        # of gradients the processes take the mean, and the loss of a batch is the sum of those of its shares
        (loss if parts == 1 else loss * parts).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        loss = loss.detach()
        if parts > 1:
            dist.all_reduce(loss)
        return loss

    def _loss(self, photos: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
        spans = list(self.losses.schema.slices.values())
        loss = torch.zeros((), device=labels.device)
        with mixed_precision(labels.device):
            logits = self.learner(self.share.of(photos)) if isinstance(photos, Tensor) else None
            for position in self.phenotypes:
                own = self.learner(self.share.of(photos[position])) if logits is None else logits
                if len(self.phenotypes) > 1:
                    own = own[:, spans[position]]
                known = labels[:, position]
                loss = loss + self.losses.mean(own, self.share.of(known), position, known)
        return loss

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
        """The weights of the best epoch."""
        if self.kept is not None:
            self.network.load_state_dict(self.kept)
