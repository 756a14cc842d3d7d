"""What defenders climb: per-photo functions of the predictors' log-probabilities; larger is a worse match.

g_p(v|x) is the predicted probability of variant v of phenotype p, P(v|y) the one that the true genome gives. Values
are computed in float64: the tables are tiny, and confident predictors lie within float32 rounding of 0 and 1.
"""

from __future__ import annotations

import copy
import itertools
from typing import Protocol, Self

import torch
from torch import Tensor

from linkbench.api.schema import Schema
from linkbench.errors import PluginError

TIE = 1e-9
"""Scores closer than this are the same score, as in linkbench.metrics.scores."""

MOST_COMBINATIONS = 1 << 16
"""Schemas with more combinations of variants are refused by the rank objective: it looks at each of them."""

FLATTEST, SHARPEST = 0.1, 4.0
"""The powers to which the rank objective raises the predicted probabilities at its first step and at its last."""

SURE = 25.0
"""Once sharpened, the most likely combination leads the next by at most this (in nats): e^-25 of a gradient is left,
well above the rounding of float64."""

BLOCK = 1 << 22
"""Scores of the reference population held at a time."""


class Objective(Protocol):
    """A function of each photo's log-probabilities, and when a photo is finished."""

    def value(self, log_probs: Tensor) -> Tensor:
        """float [n], to be maximised, from log-probabilities [n, V]; differentiable."""
        ...

    def met(self, log_probs: Tensor) -> Tensor | None:
        """bool [n], photos that need no further steps; None where every photo takes all of them."""
        ...

    def rows(self, index: Tensor) -> Objective:
        """The objective of some of the photos, int64 [m]."""
        ...

    def at(self, part: float) -> Objective:
        """The objective after this part of the steps, 0 to 1; photos are compared by the one at the end."""
        ...


class _Steady:
    """An objective that is the same at every step, and of which no photo is ever done."""

    def met(self, log_probs: Tensor) -> Tensor | None:
        return None

    def at(self, part: float) -> Self:
        return self


class Paper(_Steady):
    """-sum_p sum_v log g_p(v|x) log P(v|y). Venkatesaramani et al. 2021, Eq. 5. log_p: float [n, V]."""

    def __init__(self, log_p: Tensor) -> None:
        self.log_p = log_p.double()

    def value(self, log_probs: Tensor) -> Tensor:
        return -(log_probs.double() * self.log_p).sum(dim=1)

    def rows(self, index: Tensor) -> Objective:
        return type(self)(self.log_p[index])


class Expected(Paper):
    """-sum_p sum_v g_p(v|x) log P(v|y): minus the score that the paper's attacker gives on average."""

    def value(self, log_probs: Tensor) -> Tensor:
        return -(log_probs.double().exp() * self.log_p).sum(dim=1)


class CrossEntropy(_Steady):
    """-log g_p(label|x) of one phenotype. column: int64 [n], the column of each photo's label in [n, V]."""

    def __init__(self, column: Tensor) -> None:
        self.column = column

    def value(self, log_probs: Tensor) -> Tensor:
        return -log_probs.gather(1, self.column[:, None])[:, 0].double()

    def rows(self, index: Tensor) -> Objective:
        return CrossEntropy(self.column[index])


class Combinations:
    """All combinations of one variant per phenotype. Raises PluginError where there are too many to look at each.

    members: float64 [C, V] of zeros and ones; the last phenotype changes fastest.
    """

    def __init__(self, schema: Schema, device: torch.device) -> None:
        if schema.combinations > MOST_COMBINATIONS:
            raise PluginError(
                f"the rank of a genome is computed for every combination of variants; this schema has "
                f"{schema.combinations:,}, more than {MOST_COMBINATIONS:,}. Use objective 'paper' or 'expected' "
                f"without target_rank"
            )
        self.slices = list(schema.slices.values())
        chosen = torch.tensor(list(itertools.product(*(range(span.start, span.stop) for span in self.slices))))
        members = torch.zeros(len(chosen), schema.width, dtype=torch.float64)
        self.members = members.scatter_(1, chosen, 1.0).to(device)

    def predicted(self, log_probs: Tensor) -> Tensor:
        """int64 [n], the combination of the most likely variants; ties: the first variant."""
        index = torch.zeros(len(log_probs), dtype=torch.int64, device=log_probs.device)
        for span in self.slices:
            index = index * (span.stop - span.start) + log_probs[:, span].argmax(dim=1)
        return index


def rank_table(log_p: Tensor, reference: Tensor, combinations: Combinations) -> Tensor:
    """float64 [n, C]: the rank of the true genome among the reference when combination c is predicted.

    1 + the number of reference genomes with a larger sum of log-probabilities of the combination's variants + half the
    number of ties. log_p: float [n, V], of the true genomes; reference: float [R, V]. Time n C log R, memory bounded.
    """
    members = combinations.members
    true, others = log_p.double(), reference.double()
    out = torch.empty(len(true), len(members), dtype=torch.float64, device=true.device)
    step = max(1, BLOCK // max(len(others), 1))
    for start in range(0, len(members), step):
        part = members[start : start + step]
        ordered = (part @ others.T).sort(dim=1).values
        own = part @ true.T
        not_above = torch.searchsorted(ordered, own + TIE, right=True)
        below = torch.searchsorted(ordered, own - TIE)
        out[:, start : start + step] = (1 + len(others) - (not_above + below) / 2).T
    return out


class Rank(_Steady):
    """log sum_c g(c|x) r_c, g the product of the predictors, r_c the rank of the true genome if c is predicted.

    The attacker sees the most likely variants, not their probabilities. So g is sharpened on the way, to g^s over its
    sum, s from FLATTEST to SHARPEST: first every combination has a say, however unlikely, and the photo moves to where
    bad ranks become likely; then they are made the winners. At s = 1 it is the formula above. Where a predictor is so
    sure that nothing else is left of g, s is lowered, so that there is always a gradient.
    """

    def __init__(self, combinations: Combinations, ranks: Tensor, sharpness: float = 1.0) -> None:
        self.combinations, self.ranks, self.sharpness = combinations, ranks, sharpness
        self.log_ranks = ranks.log()

    def value(self, log_probs: Tensor) -> Tensor:
        log_g = log_probs.double() @ self.combinations.members.T
        best = log_g.detach().topk(2, dim=1).values
        sharp = log_g * (SURE / (best[:, 0] - best[:, 1])).clamp_(max=self.sharpness)[:, None]
        return torch.logsumexp(sharp + self.log_ranks, dim=1) - torch.logsumexp(sharp, dim=1)

    def rows(self, index: Tensor) -> Objective:
        return Rank(self.combinations, self.ranks[index], self.sharpness)

    def at(self, part: float) -> Rank:
        out = copy.copy(self)  # the tables are shared
        out.sharpness = FLATTEST + (SHARPEST - FLATTEST) * part
        return out


class Until:
    """Another objective, finished once the most likely variants put the true genome behind rank `target`."""

    def __init__(self, objective: Objective, combinations: Combinations, ranks: Tensor, target: int) -> None:
        self.objective, self.combinations, self.ranks, self.target = objective, combinations, ranks, target

    def value(self, log_probs: Tensor) -> Tensor:
        return self.objective.value(log_probs)

    def met(self, log_probs: Tensor) -> Tensor | None:
        predicted = self.combinations.predicted(log_probs)
        return self.ranks.gather(1, predicted[:, None])[:, 0] > self.target

    def rows(self, index: Tensor) -> Objective:
        return Until(self.objective.rows(index), self.combinations, self.ranks[index], self.target)

    def at(self, part: float) -> Until:
        out = copy.copy(self)
        out.objective = self.objective.at(part)
        return out
