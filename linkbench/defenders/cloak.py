"""Cloaks in the manner of Shan et al. 2020: features as close as possible to a target's, DSSIM within a budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.errors import PluginError
from linkbench.metrics.image_quality import dssim
from linkbench.models.features import Features, deep_features, distance, joined

BATCH = 64
"""Photos whose features are computed at a time."""

PRICE = 1e6
"""What the square of the DSSIM above the budget costs."""

SHARE = 128.0
"""The weight of the feature distance stays between 1 / SHARE and SHARE."""

SLACK = 0.1
"""That weight is doubled while DSSIM is more than this part below the budget, halved while it is as much above."""

SETTLE = 0.75
"""After this part of the steps every try is shrunk into the budget; before, it may be overdrawn on the way."""

SLOWEST = 0.1
"""The steps shorten linearly, to this part of the first."""

HALVINGS = 6
"""How precisely a cloak that is too strong is shrunk: by 2 ** -HALVINGS of itself."""


class Targets(NamedTuple):
    """centres: float [C, D], the mean features of each candidate; scales: float, one per network, the mean length of
    its features, by which they are divided; chosen: the candidate for the photos that were studied, by key."""

    centres: Tensor
    scales: tuple[float, ...]
    chosen: dict[int, int]


class Limits(NamedTuple):
    """dssim: (1 - SSIM) / 2; epsilon: L-infinity, in [0, 1] pixel units; step: of Adam, in the same units."""

    dssim: float
    epsilon: float
    steps: int
    step: float


def find_targets(study_set: StudySet, candidates: int) -> Targets:
    """Draw the candidates among the people, and choose for every person the one most distant from all their photos.

    Shan et al. 2020, section 4.2. Raises PluginError with fewer than two people.
    """
    features = deep_features(study_set.predictor)
    people = np.unique(study_set.identity)
    if len(people) < 2:
        raise PluginError(
            f"fawkes makes people look like somebody else to a network, but the photos that it may study show "
            f"{len(people)} {'person' if len(people) == 1 else 'people'}; give it photos of two or more"
        )
    drawn = seeds.generator(study_set.seed, "fawkes").permutation(people)[:candidates]
    parts = list(zip(*_studied(features, study_set), strict=True))
    lengths = [torch.cat(part).norm(dim=1).mean().item() for part in parts]
    scales = tuple(length or 1.0 for length in lengths)
    every = torch.cat([torch.cat(part) / scale for part, scale in zip(parts, scales, strict=True)], dim=1)
    identity = torch.from_numpy(np.asarray(study_set.identity)).to(every.device)
    centres = torch.stack([every[identity == int(person)].mean(dim=0) for person in drawn])
    apart = torch.cdist(every, centres)
    chosen: dict[int, int] = {}
    for person in people:
        rows = np.flatnonzero(study_set.identity == person)
        nearest = apart[torch.from_numpy(rows).to(apart.device)].amin(dim=0)
        nearest[torch.from_numpy(drawn == person).to(nearest.device)] = -1.0
        best = int(nearest.argmax())
        if drawn[best] == person:
            raise PluginError("fawkes needs at least two candidates: the only one is the very person in the photo")
        chosen |= dict.fromkeys(study_set.keys[rows].tolist(), best)
    return Targets(centres, scales, chosen)


def _studied(features: Features, study_set: StudySet) -> Iterator[list[Tensor]]:
    with torch.no_grad():
        for index in np.array_split(np.arange(len(study_set)), -(-len(study_set) // BATCH)):
            yield [part.float() for part in features(study_set.pixels(index))]


def cloak(photos: Tensor, knowledge: Knowledge, budget: Limits) -> Tensor:
    """Photos float [n, 3, h, w] cloaked: the closest to their targets, in features, of all tries within the budget.

    Minimises PRICE * max(DSSIM - budget, 0)^2 + c * distance, c of each photo doubled or halved step by step as long as
    its budget is not used or overdrawn. Raises PluginError where no photos were studied.
    """
    features = deep_features(knowledge.predictor)
    if not isinstance(knowledge.learned, Targets):
        raise PluginError("fawkes chooses its targets among photos that it has studied, but was given none")
    if budget.epsilon == 0 or not len(photos):
        return photos.clone()
    targets = knowledge.learned
    goal = _goals(photos, features, knowledge.keys, targets)
    low, high = (photos - budget.epsilon).clamp_(min=0), (photos + budget.epsilon).clamp_(max=1)
    point = photos.clone().requires_grad_(True)
    # a short memory of sizes: one step over the budget costs so much that Adam would stand still long after it
    adam = torch.optim.Adam([point], lr=budget.step, betas=(0.9, 0.9))
    best, closest = photos.clone(), torch.full_like(photos[:, 0, 0, 0], torch.inf)
    share = torch.ones_like(closest)
    for step in range(budget.steps + 1):
        done = step / budget.steps
        with torch.no_grad():
            point.clamp_(low, high)
            if done >= SETTLE:
                point.copy_(_shrunk(photos, point, budget.dssim))
        with torch.enable_grad():
            apart = distance(joined(features, point, targets.scales), goal).to(photos.dtype)
            unlike = dssim(photos, point)
            loss = PRICE * (unlike - budget.dssim).clamp(min=0).square() / share + apart
        better = (unlike.detach() <= budget.dssim) & (apart.detach() < closest)
        best[better], closest[better] = point.detach()[better], apart.detach()[better]
        if step == budget.steps:
            break
        # the sum of the photos' losses: each photo's gradient is its own
        (point.grad,) = torch.autograd.grad(loss.sum(), point)
        adam.param_groups[0]["lr"] = budget.step * (1 - (1 - SLOWEST) * done)
        adam.step()
        used = unlike.detach() / budget.dssim
        share = torch.where(used < 1 - SLACK, share * 2, torch.where(used > 1 + SLACK, share / 2, share))
        share.clamp_(1 / SHARE, SHARE)
    return best


def _goals(photos: Tensor, features: Features, keys: tuple[int, ...], targets: Targets) -> Tensor:
    """[n, D], where the features of each photo are to go."""
    with torch.no_grad():
        clean = joined(features, photos, targets.scales)
        centres = targets.centres.to(clean)
        furthest = torch.cdist(clean, centres).argmax(dim=1).tolist()
    return centres[[targets.chosen.get(key, other) for key, other in zip(keys, furthest, strict=True)]]


def _shrunk(photos: Tensor, changed: Tensor, budget: float) -> Tensor:
    """The photos with as much of the change as keeps DSSIM within the budget; all of it where it does."""
    change = changed - photos
    part = torch.where(dssim(photos, changed) <= budget, 1.0, 0.0).to(photos.dtype)
    for halving in range(1, HALVINGS + 1):
        more = (part + 0.5**halving).clamp(max=1.0)
        fits = dssim(photos, photos + more.view(-1, 1, 1, 1) * change) <= budget
        part = torch.where(fits, more, part)
    return (photos + part.view(-1, 1, 1, 1) * change).clamp_(0, 1)
