"""What training minimises: cross-entropy per phenotype, classes balanced, unknown labels left out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linkbench.api.data import MISSING, Array
from linkbench.api.schema import Schema


class Score(NamedTuple):
    """How well a phenotype is predicted on some photos; None where no photo has a label.

    loss: nats, weighted as in training; accuracy; balanced: mean over the variants present of the part found.
    """

    loss: float | None
    accuracy: float | None
    balanced: float | None


class Losses:
    """Weighted cross-entropy of each phenotype. A variant seen c times weighs c ** -balance, 1 on average over photos.

    labels: int64 [n, P] of the training photos, MISSING where unknown; balance: 0 (none) to 1 (every variant counts
    the same as a whole).
    """

    def __init__(self, schema: Schema, labels: Array, balance: float, device: str) -> None:
        self.schema = schema
        self.weights: list[Tensor] = []
        for column, phenotype in enumerate(schema):
            known = labels[labels[:, column] != MISSING, column]
            counts = np.bincount(known, minlength=len(schema[phenotype])).astype(np.float64)
            weights = np.where(counts > 0, np.maximum(counts, 1) ** -balance, 0.0)
            total = float((weights * counts).sum())
            weights *= counts.sum() / total if total else 0.0
            self.weights.append(torch.tensor(weights, dtype=torch.float32, device=device))

    def each(self, logits: Tensor, labels: Tensor, phenotype: int) -> Tensor:
        """[n], the weighted loss of each photo with logits [n, K] and labels int64 [n]; 0 where unknown."""
        safe = labels.clamp(min=0)
        log_p = torch.log_softmax(logits.float(), dim=1).gather(1, safe[:, None])[:, 0]
        weight = self.weights[phenotype][safe] * (labels != MISSING)
        return -weight * log_p

    def mean(self, logits: Tensor, labels: Tensor, phenotype: int, among: Tensor | None = None) -> Tensor:
        """The mean over photos with a label; 0, with a gradient of 0, if there are none.

        among: the labels of all photos of which these are a share; the means of all shares sum to the mean of all.
        """
        known = ((labels if among is None else among) != MISSING).sum().clamp(min=1)
        return self.each(logits, labels, phenotype).sum() / known

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum over phenotypes of their means, of logits [n, V] and labels int64 [n, P]."""
        each = [
            self.mean(logits[:, span], labels[:, position], position)
            for position, span in enumerate(self.schema.slices.values())
        ]
        return torch.stack(each).sum()

    def score(self, logits: Tensor, labels: Tensor, phenotype: int) -> Score:
        """The score of logits [n, K] against labels int64 [n]."""
        known = labels != MISSING
        if not bool(known.any()):
            return Score(None, None, None)
        loss = self.mean(logits, labels, phenotype).item()
        right = (logits.argmax(dim=1) == labels)[known].double()
        truth = labels[known]
        balanced = torch.stack([right[truth == variant].mean() for variant in torch.unique(truth)]).mean().item()
        return Score(loss, right.mean().item(), balanced)
