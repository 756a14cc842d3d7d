"""The predictors as one classifier, so that any attack on classifiers becomes a defence against linkage.

A combination is one variant of every phenotype. Predictors judge phenotypes independently, so the log-probability of a
combination is the sum of the log-probabilities of its variants: that sum is a logit like any other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from linkbench.api.schema import Schema
from linkbench.errors import PluginError

MOST_CLASSES = 4096
"""Schemas with more combinations are refused: attacks on classifiers look at every class."""


class CombinationClassifier(nn.Module):
    """Photos [n, 3, h, w] to logits [n, C]: over the variants of one phenotype, or over all combinations.

    predictor: photos -> log-probabilities [n, V]; phenotype: None for the combinations, of which the last phenotype
    changes fastest; positive: add to each photo's logits what makes the smallest 1, for attacks that take zero for
    "no logit" (probabilities and differences stay as they are). The predictor is not a submodule: whoever calls
    `train()`, `to()` or `parameters()` on the classifier does not touch it.
    """

    def __init__(
        self,
        predictor: Callable[[Tensor], Tensor],
        schema: Schema,
        phenotype: str | None = None,
        *,
        positive: bool = False,
    ) -> None:
        super().__init__()
        if phenotype is not None and phenotype not in schema:
            raise PluginError(f"there is no phenotype {phenotype!r}; the schema has {', '.join(schema)}")
        self.spans = list(schema.slices.values()) if phenotype is None else [schema.slices[phenotype]]
        self.columns = [list(schema).index(name) for name in schema if phenotype in (None, name)]
        self.sizes = [span.stop - span.start for span in self.spans]
        self.positive = positive
        if self.classes > MOST_CLASSES:
            raise PluginError(
                f"the schema has {self.classes:,} combinations of variants; attacks on classifiers take at most "
                f"{MOST_CLASSES:,}. Attack one phenotype, or use joint-pgd"
            )
        self._hidden = (predictor,)
        # libraries ask a network's first parameter for the device
        self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.eval()

    @property
    def classes(self) -> int:
        """C."""
        out = 1
        for size in self.sizes:
            out *= size
        return out

    def forward(self, photos: Tensor) -> Tensor:
        # some libraries compute in float64
        log_probs = self._hidden[0](photos.to(self.anchor.dtype))
        logits = log_probs[:, self.spans[0]]
        for span in self.spans[1:]:
            logits = (logits[:, :, None] + log_probs[:, None, span]).flatten(1)
        if self.positive:
            logits = logits + (1 - logits.detach().amin(dim=1, keepdim=True))
        return logits

    def combine(self, variants: Tensor) -> Tensor:
        """int64 [n], the class of variants int64 [n, P], one column per phenotype of the schema, all known."""
        index = torch.zeros(len(variants), dtype=torch.int64, device=variants.device)
        for column, size in zip(self.columns, self.sizes, strict=True):
            index = index * size + variants[:, column]
        return index

    def labels(self, photos: Tensor, variants: Tensor | None) -> Tensor:
        """int64 [n], the class to attack: of the true variants int64 [n, P], of predicted ones where unknown (-1)."""
        with torch.no_grad():
            log_probs = self._hidden[0](photos)
        known = torch.full((len(photos), max(self.columns) + 1), -1, dtype=torch.int64, device=photos.device)
        if variants is not None:
            known.copy_(variants[:, : known.shape[1]])
        for column, span in zip(self.columns, self.spans, strict=True):
            known[:, column] = torch.where(known[:, column] < 0, log_probs[:, span].argmax(dim=1), known[:, column])
        return self.combine(known)
