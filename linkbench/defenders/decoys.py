"""Decoys: who a protected photo shall look like to the predictors, and when it does.

A decoy is drawn from other people by a secret seed and the number of the protected person alone. It tells nothing of
the true genome, and neither does a photo that predictors cannot tell from the decoy's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linkbench.api.data import Array
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import Schema
from linkbench.defenders.objectives import Objective
from linkbench.defenders.others import batches, choose, secret_order, shown
from linkbench.defenders.sight import Predictor
from linkbench.models.features import deep_features, joined

NEARNESS = 4.0
"""What the features of one network weigh against what it says, in nats, where they lie as far apart as two people's."""


class Pool(NamedTuple):
    """People who may become decoys: identity, int64 [D], and what each of M predictors says of one photo of each,
    log-probabilities float64 [D, M, V]. features: float32 [D, F], of all networks side by side, each divided by its
    scale, the root mean square distance between two of the people; none of both where nobody asked."""

    identity: Array
    log_probs: Tensor
    features: Tensor | None = None
    scales: tuple[float, ...] = ()


def side_by_side(predictor: Any) -> tuple[Predictor, int]:
    """The members of an ensemble, each by itself: photos to log-probabilities [n, M * V], and M; M is 1 for another.

    Their mean may fit a decoy while every member still sees the truth.
    """
    members = list(getattr(predictor, "predictors", (predictor,)))
    if len(members) == 1:
        return members[0], 1
    return lambda photos: torch.cat([member(photos) for member in members], dim=1), len(members)


def find_pool(studied: StudySet, *, features: bool = False) -> Pool:
    """One photo each of people among the studied, at most MOST of them, drawn by the study's seed.

    features: whether their deep features are wanted. Raises PluginError with fewer than two people.
    """
    looks, members = side_by_side(studied.predictor)
    chosen, rows = choose(studied, 2, "it makes people look like somebody else to the predictors")
    with torch.no_grad():
        parts = [looks(studied.pixels(part)).double() for part in batches(rows)]
    log_probs = torch.cat(parts).view(len(chosen), members, -1)
    if not features:
        return Pool(chosen, log_probs)
    deep = deep_features(studied.predictor)
    with torch.no_grad():
        seen = [[part.float() for part in deep(studied.pixels(part))] for part in batches(rows)]
    networks = [torch.cat(parts) for parts in zip(*seen, strict=True)]
    scales = tuple(float((2 * network.var(dim=0).sum()).sqrt()) or 1.0 for network in networks)
    side = torch.cat([network / scale for network, scale in zip(networks, scales, strict=True)], dim=1)
    return Pool(chosen, log_probs, side, scales)


def draw(knowledge: Knowledge, pool: Pool, allowed: Tensor | None) -> Tensor:
    """int64 [n], each photo's decoy in the pool: the first in its person's secret order who is somebody else.

    allowed: bool [n, D], decoys that a photo may have, where any of them is left; None for all.
    """
    out = []
    for row, person in enumerate(shown(knowledge)):
        order = secret_order(knowledge, person, pool.identity)
        if allowed is not None and len(fitting := order[allowed[row, torch.from_numpy(order)].cpu().numpy()]):
            order = fitting
        out.append(int(order[0]))
    return torch.tensor(out, dtype=torch.int64)


def meet(keep: tuple[str, ...], photos: Tensor, looks: Predictor, pool: Pool, knowledge: Knowledge) -> Tensor:
    """int64 [n], each photo's decoy in the pool, one who shares the phenotypes to keep where there is one."""
    allowed = None
    if keep:
        schema, members = knowledge.schema, pool.log_probs.shape[1]
        with torch.no_grad():
            seen = variants(looks(photos).double().view(len(photos), members, -1), schema)
        columns = [schema.names.index(name) for name in keep]
        theirs = variants(pool.log_probs, schema)
        allowed = (seen[:, None, columns] == theirs[None][:, :, columns]).all(dim=2)
    return draw(knowledge, pool, allowed).to(pool.log_probs.device)


def targets(objective: str, chosen: Tensor, pool: Pool, schema: Schema) -> Tensor:
    """float64 [n, M, V], what each predictor shall say of each photo, as probabilities; see `DecoyPGD`.

    chosen: int64 [n], the decoys.
    """
    members = pool.log_probs.shape[1]
    if objective == "constant":
        return certain(commonest(pool, schema).expand(len(chosen), -1), schema, members)
    if objective == "variants":
        return certain(variants(pool.log_probs, schema)[chosen], schema, members)
    return pool.log_probs[chosen].exp()


def variants(log_probs: Tensor, schema: Schema) -> Tensor:
    """int64 [n, P], the variant of each phenotype that most speaks for, by the mean over members, [n, M, V]."""
    mean = log_probs.mean(dim=1)
    return torch.stack([mean[:, span].argmax(dim=1) for span in schema.slices.values()], dim=1)


def certain(chosen: Tensor, schema: Schema, members: int) -> Tensor:
    """float64 [n, M, V], probability 1 for the variants int64 [n, P]."""
    starts = torch.tensor([span.start for span in schema.slices.values()], device=chosen.device)
    out = torch.zeros(len(chosen), schema.width, dtype=torch.float64, device=chosen.device)
    return out.scatter_(1, chosen + starts, 1.0)[:, None].expand(-1, members, -1)


def commonest(pool: Pool, schema: Schema) -> Tensor:
    """int64 [1, P], the combination of variants that most of the pool show."""
    found, counts = np.unique(variants(pool.log_probs, schema).cpu().numpy(), axis=0, return_counts=True)
    return torch.from_numpy(found[counts.argmax()][None]).to(pool.log_probs.device)


class Match:
    """-sum_p KL(t_p || g_p(x)), the mean over M predictors: how well a photo passes for its decoy; 0 at best.

    target: float64 [n, M, V], the probabilities t; tolerance: a photo is finished once the sum is at most this for
    every predictor, None: never.
    """

    def __init__(self, target: Tensor, tolerance: float | None) -> None:
        self.target, self.tolerance = target, tolerance
        self.entropy = torch.special.xlogy(target, target).sum(dim=2)

    def _apart(self, log_probs: Tensor) -> Tensor:
        """float64 [n, M]."""
        apart: Tensor = self.entropy - (self.target * log_probs.double().view(self.target.shape)).sum(dim=2)
        return apart

    def value(self, log_probs: Tensor) -> Tensor:
        return -self._apart(log_probs).mean(dim=1)

    def met(self, log_probs: Tensor) -> Tensor | None:
        return None if self.tolerance is None else (self._apart(log_probs) <= self.tolerance).all(dim=1)

    def rows(self, index: Tensor) -> Match:
        return Match(self.target[index], self.tolerance)

    def at(self, part: float) -> Match:
        return self


class Resemble:
    """How well a photo passes for its decoy by what predictors say, and by what their last layers see in it.

    -sum_p KL as in `Match`, less NEARNESS times the squared distance of the features, the mean over all networks.
    """

    def __init__(self, said: Match, features: Tensor, networks: int) -> None:
        self.said, self.features, self.networks = said, features, networks

    def _parts(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        width = self.said.target[0].numel()
        return seen[:, :width], seen[:, width:]

    def value(self, log_probs: Tensor) -> Tensor:
        said, features = self._parts(log_probs)
        apart = (features.float() - self.features).square().sum(dim=1).double() / self.networks
        return self.said.value(said) - NEARNESS * apart

    def met(self, log_probs: Tensor) -> Tensor | None:
        return self.said.met(self._parts(log_probs)[0])

    def rows(self, index: Tensor) -> Objective:
        return Resemble(self.said.rows(index), self.features[index], self.networks)

    def at(self, part: float) -> Resemble:
        return self


def with_features(looks: Predictor, predictor: Any, scales: tuple[float, ...]) -> Predictor:
    """Photos to what predictors say of them and beside it what their last layers see: float [n, M * V + F]."""
    deep = deep_features(predictor)
    return lambda photos: torch.cat([looks(photos), joined(deep, photos, scales)], dim=1)
