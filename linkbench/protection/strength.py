"""The smallest change of a photo's faces that meets a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.faces.cut import cut, paste
from linkbench.faces.geometry import Square
from linkbench.faces.photo import Photo
from linkbench.protection.judge import Judge, Verdict
from linkbench.protection.postings import Posting, views

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.harness.defend import Defence
    from linkbench.protection.background import Background

MEASURED = 512
"""Longest edge in pixels at which what was changed of a face is measured."""


class Target(NamedTuple):
    """What a protection shall reach; exactly one is set.

    epsilon: just this change; risk: success of no attacker above it; rank: the genome's expected rank with no attacker
    better; delta_e: the largest change whose 95th percentile over the face, in CIELAB, is at most this.
    """

    epsilon: float | None = None
    risk: float | None = None
    rank: float | None = None
    delta_e: float | None = None


class Changed(NamedTuple):
    """What a face lost: largest change of a pixel in [0, 1], SSIM, Delta E (CIE 1976), its mean and 95th percentile."""

    linf: float
    ssim: float
    delta_e: float
    delta_e_95: float


Looked = dict[str, Array]
"""What each predictor reads from one face: by opponent float64 [1 + P, V], from the file and from each posting."""


class Checked(NamedTuple):
    """One face: what is read from it, and by opponent a verdict for the file and for each posting."""

    looked: Looked
    verdicts: dict[str, list[Verdict]]

    def worst(self) -> Verdict:
        """The best rank and the largest success of any attacker in any posting."""
        every = [verdict for each in self.verdicts.values() for verdict in each]
        return Verdict(min(each.rank for each in every), max(each.success for each in every))


def apply(photo: Photo, squares: Sequence[Square], defence: Defence, size: int) -> Photo:
    """The photo with its faces changed by a defender, who knows each by its place."""
    import torch

    for number, square in enumerate(squares):
        face = cut(photo, square, size)
        out = defence.perturb(face, np.array([number]))
        photo = paste(photo, square, (out.photos - face)[0].to(torch.float32))
    return photo


def look(photo: Photo, squares: Sequence[Square], background: Background, chosen: Sequence[Posting]) -> list[Looked]:
    """What every predictor reads from every face, as it is and posted in each of the chosen ways."""
    from linkbench.models.predictor import predict

    seen = views(photo, squares, background.size, chosen)
    return [
        {each.name: predict(each.predictor, seen[:, number].numpy()) for each in background.opponents}
        for number in range(len(squares))
    ]


def check(judge: Judge, looked: Looked, own: Array, epsilon: float | None) -> Checked:
    """What every attacker makes of a face; own: genomes that the person may have; epsilon: what he was taught."""
    return Checked(
        looked, {name: judge.verdicts(name, probabilities, own, epsilon) for name, probabilities in looked.items()}
    )


def measure(before: Photo, after: Photo, square: Square) -> Changed:
    """How much the square of a photo was changed, and how much of that is seen."""
    from linkbench.metrics.colour import delta_e
    from linkbench.metrics.image_quality import ssim

    left, top, right, bottom = square.bounds(*before.size)
    old, new = before.upright[top:bottom, left:right], after.upright[top:bottom, left:right]
    most = int(np.iinfo(old.dtype).max)
    linf = int(np.abs(new.astype(np.int32) - old).max(initial=0)) / most
    edge = max(16, min(MEASURED, round(square.side)))
    shown = [cut(photo, square, edge) for photo in (before, after)]
    apart = delta_e(*shown).flatten()
    return Changed(linf, float(ssim(*shown)[0]), float(apart.mean()), float(_quantile(apart, 0.95)))


def _quantile(values: Tensor, part: float) -> Tensor:
    return values.sort().values[min(len(values) - 1, int(part * len(values)))]


class Attempt(NamedTuple):
    """A photo protected with one epsilon, and whether it meets the target."""

    epsilon: float
    photo: Photo
    met: bool


def smallest(strengths: Sequence[float], attempt: Callable[[float], Attempt], largest: bool = False) -> Attempt:
    """The attempt with the smallest epsilon that meets the target, by bisection; else the strongest of all.

    strengths: ascending; largest: the largest that meets it instead, for targets that a change must not exceed; where
    none does, the weakest.
    """
    low, high = 0, len(strengths) - 1
    best: Attempt | None = None
    last: Attempt | None = None
    while low <= high:
        middle = (low + high) // 2
        last = attempt(strengths[middle])
        if last.met:
            best = last
        if last.met == largest:
            low = middle + 1
        else:
            high = middle - 1
    if best is not None:
        return best
    end = strengths[0] if largest else strengths[-1]
    assert last is not None
    return last if last.epsilon == end else attempt(end)


def meets(target: Target, checked: Sequence[Checked], changed: Sequence[Changed]) -> bool:
    """Whether all faces reach the target."""
    if target.delta_e is not None:
        return all(each.delta_e_95 <= target.delta_e for each in changed)
    worst = [each.worst() for each in checked]
    if target.risk is not None:
        return all(each.success <= target.risk for each in worst)
    if target.rank is not None:
        return all(each.rank >= target.rank for each in worst)
    return True
