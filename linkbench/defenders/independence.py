"""Outputs that say nothing: photos moved to where nobody who learned what the tool makes of people reads a variant.

The mutual information of protected outputs o and variants v is H(v) + E log q(v | o) for the best q, and less for any
other (Barber & Agakov 2003). So the tool and critics q take turns over a batch of people (fictitious play): a critic is
fitted to what the tool, as it is, makes of them, and the tool learns to leave all critics so far with the prior alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linkbench.api.data import Array
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import Schema
from linkbench.attackers import logistic
from linkbench.defenders.decoys import side_by_side, variants
from linkbench.defenders.objectives import Objective
from linkbench.defenders.others import batches, choose
from linkbench.defenders.pgd import Ascent, ascend
from linkbench.defenders.sight import Sight

ROUNDS = 4
"""Critics. Each costs a protection of the whole batch but the first, who learns from clean photos."""

CROWD = 256
"""People of the batch, at most."""

FLOOR = 0.01
"""Added to probabilities before their logarithm: differences below it are no evidence, and gradients stay finite."""

PENALTY = 1.0
"""On the squared slopes of a critic, whose features are standardised."""


class Critic(NamedTuple):
    """P(v | o) of every phenotype: mean and spread of the features, [F], and coefficients [K, F + 1] for each."""

    mean: Tensor
    spread: Tensor
    coefficients: tuple[Tensor, ...]


class Critics(NamedTuple):
    """All critics, and the logarithm of how frequent the variants of each phenotype are, [K] each."""

    each: tuple[Critic, ...]
    priors: tuple[Tensor, ...]


def features(log_probs: Tensor) -> Tensor:
    """float64 [n, F], what critics look at, of log-probabilities [n, F]; differentiable."""
    return (log_probs.double().exp() + FLOOR).log()


class Silent:
    """-sum_p KL(P(v) || q(v | o)), the mean over critics q: how little they learn from a photo's outputs; 0 at best.

    tolerance: a photo is finished once the sum is at most this for every critic, None: never.
    """

    def __init__(self, critics: Critics, tolerance: float | None) -> None:
        self.critics, self.tolerance = critics, tolerance

    def _told(self, log_probs: Tensor) -> Tensor:
        """float64 [n, critics], in nats."""
        seen = features(log_probs)
        out = []
        for critic in self.critics.each:
            shown = (seen - critic.mean) / critic.spread
            told = torch.zeros(len(seen), dtype=torch.float64, device=seen.device)
            for weights, prior in zip(critic.coefficients, self.critics.priors, strict=True):
                log_q = (shown @ weights[:, 1:].T + weights[:, 0]).log_softmax(dim=1)
                told = told + (prior.exp() * (prior - log_q)).sum(dim=1)
            out.append(told)
        return torch.stack(out, dim=1)

    def value(self, log_probs: Tensor) -> Tensor:
        return -self._told(log_probs).mean(dim=1)

    def met(self, log_probs: Tensor) -> Tensor | None:
        return None if self.tolerance is None else (self._told(log_probs) <= self.tolerance).all(dim=1)

    def rows(self, index: Tensor) -> Objective:
        return self

    def at(self, part: float) -> Silent:
        return self


def find_critics(studied: StudySet, sight_of: Callable[[Knowledge], Sight], how: Ascent) -> Critics:
    """Critics of the tool over a batch of people, by the variants that predictors see in their clean photos.

    sight_of: how the tool looks at photos, given a predictor; how: it climbs. Raises PluginError with fewer than two
    people.
    """
    looks, members = side_by_side(studied.predictor)
    _, rows = choose(studied, 2, "decoy-pgd learns what gives people away")
    parts = list(batches(rows[:CROWD]))
    with torch.no_grad():
        seen = torch.cat([looks(studied.pixels(part)) for part in parts])
    truth = variants(seen.double().view(len(seen), members, -1), studied.schema)
    counts = [
        torch.bincount(truth[:, at], minlength=len(studied.schema[name])).double() + 1.0
        for at, name in enumerate(studied.schema)
    ]
    priors = tuple((count / count.sum()).log() for count in counts)
    critics = Critics((_fit(seen, truth, studied.schema),), priors)
    for _ in range(ROUNDS - 1):
        seen = torch.cat([_outputs(studied, part, critics, sight_of, how) for part in parts])
        critics = Critics((*critics.each, _fit(seen, truth, studied.schema)), priors)
    return critics


def _outputs(
    studied: StudySet, part: Array, critics: Critics, sight_of: Callable[[Knowledge], Sight], how: Ascent
) -> Tensor:
    """What predictors say of some people once the tool, as these critics made it, has protected them."""
    looks, _ = side_by_side(studied.predictor)
    keys = tuple(studied.keys[part].tolist())
    told = Knowledge(studied.schema, keys, studied.seed, predictor=looks)
    protected = ascend(studied.pixels(part), sight_of(told), Silent(critics, None), how, told)
    with torch.no_grad():
        return looks(protected)


def _fit(log_probs: Tensor, truth: Tensor, schema: Schema) -> Critic:
    """One more person of each variant, with mean outputs, is added, so that no variant is impossible."""
    plain = features(log_probs)
    mean, spread = plain.mean(dim=0), plain.std(dim=0)
    spread = torch.where(spread > 1e-9, spread, 1.0)
    shown = ((plain - mean) / spread).cpu().numpy()
    coefficients = []
    for at, name in enumerate(schema):
        classes = len(schema[name])
        rows = np.concatenate([shown, np.zeros((classes, shown.shape[1]))])
        targets = np.concatenate([np.eye(classes)[truth[:, at].cpu().numpy()], np.eye(classes)])
        penalty = np.full((1, shown.shape[1]), PENALTY)
        fitted = logistic.fit(rows, targets, np.ones((1, len(rows))), penalty)[0]
        coefficients.append(torch.from_numpy(fitted).to(plain.device))
    return Critic(mean, spread, tuple(coefficients))
