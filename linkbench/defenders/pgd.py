"""Projected gradient ascent on any per-photo objective, within an L-infinity or L2 ball and the pixel range.

The one engine behind every defender that follows gradients. Photos do not know of each other: each has its own random
numbers and its own state, and leaves the batch when it is finished, so that finished photos cost nothing.
Madry et al. 2018; with Adam as in Venkatesaramani et al. 2021.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from linkbench.api.knowledge import Knowledge
from linkbench.defenders.objectives import Objective
from linkbench.defenders.sight import Predictor, Sight
from linkbench.defenders.transfer import Slope, Transfer

Optimiser = Literal["sign", "adam"]

FULL_STEP = 2.5
"""The default step size is this many radii over all steps: enough to cross the ball and to turn round once."""

CACHED = 1 << 17
"""Pixels that climb together on a CPU: with more, the activations of a small network leave its cache, which costs a
twentieth of the speed. Never fewer than 8 photos: the weights of a large network must be read for each piece."""


def seen(knowledge: Knowledge, through: bool, phenotype: str | None = None) -> Predictor:
    """The predictor that the defender sees; through: photos pass the publication channel first.

    With a phenotype: log-probabilities [n, K] of its variants; networks of other phenotypes do not run where they can
    be left out (predictors say so by a method `only(photos, phenotype)`).
    """
    predictor, channel = knowledge.predictor, knowledge.channel
    assert predictor is not None  # whoever asks for one in `needs` is not called without
    if phenotype is None:
        looks = predictor
    elif hasattr(predictor, "only"):
        looks = partial(predictor.only, phenotype=phenotype)
    else:
        span = knowledge.schema.slices[phenotype]

        def looks(photos: Tensor) -> Tensor:
            return predictor(photos)[:, span]

    if not through or channel is None:
        return looks
    return lambda photos: looks(channel(photos))


class Ascent(NamedTuple):
    """How to climb.

    epsilon: radius in [0, 1] pixel units; step_size: largest move of a pixel in one step, None for
    FULL_STEP * epsilon / steps; random_start: begin at a random point of the ball, not at the photo; restarts: how many
    tries, all but the first from a random point; the best by the objective is kept; transfer: remedies that carry the
    change over to unseen networks; euclidean: epsilon and step_size are lengths of the whole change, not of a pixel's.
    """

    epsilon: float
    steps: int = 20
    step_size: float | None = None
    optimiser: Optimiser = "sign"
    random_start: bool = False
    restarts: int = 1
    transfer: Transfer = Transfer()
    euclidean: bool = False

    def pixel(self, numbers: int) -> float:
        """How far the numbers of a photo may go; in the 2-norm, if all go equally far."""
        return self.epsilon / numbers**0.5 if self.euclidean else self.epsilon

    @property
    def step(self) -> float:
        return FULL_STEP * self.epsilon / max(self.steps, 1) if self.step_size is None else self.step_size


class _Adam:
    """Kingma & Ba 2015, one state per pixel; moves by about `step` whatever the size of the gradient."""

    decay, decay_square, tiny = 0.9, 0.999, 1e-12

    def __init__(self, like: Tensor) -> None:
        self.mean, self.square, self.time = torch.zeros_like(like), torch.zeros_like(like), 0

    def move(self, point: Tensor, gradient: Tensor, step: float) -> None:
        self.time += 1
        self.mean.lerp_(gradient, 1 - self.decay)
        self.square.mul_(self.decay_square).addcmul_(gradient, gradient, value=1 - self.decay_square)
        scale = (self.square / (1 - self.decay_square**self.time)).sqrt_().add_(self.tiny)
        point.addcdiv_(self.mean, scale, value=step / (1 - self.decay**self.time))

    def keep(self, rows: Tensor) -> None:
        self.mean, self.square = self.mean[rows], self.square[rows]


class _Sign:
    """Every pixel moves by exactly `step`, or not at all where the gradient is zero."""

    def move(self, point: Tensor, gradient: Tensor, step: float) -> None:
        point.add_(gradient.sign(), alpha=step)

    def keep(self, rows: Tensor) -> None:
        pass


class _Steepest:
    """Every photo moves by `step` in the 2-norm, along its gradient, or not at all where that is zero."""

    def move(self, point: Tensor, gradient: Tensor, step: float) -> None:
        length = torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True)
        point.add_(gradient / length.clamp_min(torch.finfo(gradient.dtype).tiny), alpha=step)

    def keep(self, rows: Tensor) -> None:
        pass


def ascend(photos: Tensor, sight: Sight, objective: Objective, how: Ascent, knowledge: Knowledge) -> Tensor:
    """Photos float [n, 3, h, w] moved to where the objective is large; at most `how.epsilon` away and in [0, 1].

    A photo stops as soon as `objective.met` says so of it; tries are compared by their mean over the fixed ways to see
    a photo. The input is left as it is. Where the gradient of a photo is zero everywhere the photo stays what it was.
    """
    # indexing gives planes one after the other, whatever the order before; convolutions want pixels side by side
    photos = photos.detach().contiguous(memory_format=torch.channels_last)
    if how.epsilon == 0 or how.steps == 0 or not len(photos):
        return photos.clone()
    piece = max(8, CACHED // (photos.shape[-2] * photos.shape[-1]))
    if photos.device.type == "cpu" and len(photos) > piece:
        parts = torch.split(torch.arange(len(photos)), piece)
        return torch.cat(
            [ascend(photos[part], sight, objective.rows(part), how, knowledge.rows(part)) for part in parts]
        )
    best = photos.clone()
    value = torch.full((len(photos),), -torch.inf, dtype=torch.float64, device=photos.device)
    alive = torch.arange(len(photos), device=photos.device)  # photos that no try has finished yet
    last = how.restarts - 1
    for attempt in range(how.restarts):
        whole = len(alive) == len(photos)
        start = photos if whole else photos[alive]
        goal, told = (objective, knowledge) if whole else (objective.rows(alive), knowledge.rows(alive))
        noise = None
        if how.random_start or attempt:
            noise = told.uniform(f"start {attempt}", tuple(photos.shape[1:]), photos)
        points, met = _climb(start, noise, sight, goal, how, told, attempt)
        if last == 0:
            return points
        found = reached(points, sight, goal)
        better = met | (found > value[alive])
        best[alive[better]] = points[better]
        value[alive[better]] = found[better]
        alive = alive[~met]
        if not len(alive):
            break
    return best


@torch.no_grad()
def reached(photos: Tensor, sight: Sight, objective: Objective) -> Tensor:
    """float64 [n], the objective at the end of all steps, a mean over the fixed ways to see a photo."""
    return torch.stack([objective.at(1.0).value(look(photos)).double() for look in sight.every()]).mean(0)


def _climb(
    photos: Tensor,
    noise: Tensor | None,
    sight: Sight,
    objective: Objective,
    how: Ascent,
    told: Knowledge,
    attempt: int,
) -> tuple[Tensor, Tensor]:
    """One try from the photo, or from a random point of its ball: where it led, and bool [n], which photos stopped."""
    pixel = how.pixel(photos[0].numel())
    # no pixel can go further than the whole change
    low, high = (photos - how.epsilon).clamp_(min=0), (photos + how.epsilon).clamp_(max=1)
    point, centre = photos.clone(), photos
    if noise is not None:
        point.add_(noise, alpha=pixel).clamp_(low, high)
    done = torch.zeros(len(photos), dtype=torch.bool, device=photos.device)
    out, place = point, None
    rule = _Adam(point) if how.optimiser == "adam" else _Steepest() if how.euclidean else _Sign()
    slope, step = Slope(sight, how.transfer, pixel), how.step
    for time in range(how.steps):
        goal = objective.at(time / max(how.steps - 1, 1))
        found = slope(point, goal, told, f"{attempt} {time}")
        if found is None:
            break
        direction, log_probs = found
        met = slope.met(point, goal, log_probs)
        if met is not None and bool(met.any()):
            if place is None:
                place = torch.arange(len(photos), device=photos.device)
                out = photos.clone()
            out[place[met]] = point[met]
            done[place[met]] = True
            (keep,) = torch.nonzero(~met, as_tuple=True)
            place, objective, told = place[keep], objective.rows(keep), told.rows(keep)
            point, direction, low, high, centre = (part[keep] for part in (point, direction, low, high, centre))
            rule.keep(keep)
            slope.keep(keep)
            if not len(keep):
                return out, done
        rule.move(point, direction, step)
        if how.euclidean:
            point = _shortened(centre, point, how.epsilon)
        # the bounds were rounded once; clamping to them is cheaper than projecting the difference every time
        torch.clamp(point, low, high, out=point)
    if place is None:
        return point, done
    out[place] = point
    return out, done


def _shortened(centre: Tensor, point: Tensor, radius: float) -> Tensor:
    """The points no further than a radius from the centres, in the 2-norm."""
    change = point - centre
    length = torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
    nearer: Tensor = centre + change * (radius / length.clamp_min(radius))
    return nearer
