"""Gradients that carry over to networks which nobody has seen: five published remedies, each a switch.

MI momentum (Dong et al. 2018), DI input diversity (Xie et al. 2019), TI translation invariance (Dong et al. 2019), SI
scale invariance (Lin et al. 2020), VT variance tuning (Wang and He 2021). They combine as their authors combine them:
the gradient is the mean over scaled, diversely placed copies; variance is added; then it is blurred, then remembered.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from linkbench.api.knowledge import Knowledge
from linkbench.channels.gaussian import convolved, gaussian
from linkbench.defenders.objectives import Objective
from linkbench.defenders.sight import Sight

SMALLEST = 299 / 330
"""DI shrinks a photo to at least this part of its side, as Xie et al. do."""

NEAR = 1.5
"""VT looks at gradients this many budgets around the photo, as Wang and He recommend."""

TINY = 1e-30
"""Added to the size of a gradient before it is divided by."""


class Transfer(NamedTuple):
    """Which remedies are on; as they stand here, none.

    momentum: what is kept of earlier gradients; diversity: probability that a copy is shrunk and placed at random in
    black; translation: width in pixels (odd) of the Gaussian that blurs the gradient, 1 for none; scales: copies, the
    i-th of the photo times 2 ** -i; neighbours: how many random photos nearby tell the variance of the gradient.
    """

    momentum: float = 0.0
    diversity: float = 0.0
    translation: int = 1
    scales: int = 1
    neighbours: int = 0


class Slope:
    """The directions of one climb, and what is remembered of each photo between its steps."""

    def __init__(self, sight: Sight, how: Transfer, epsilon: float) -> None:
        self.sight, self.how, self.epsilon = sight, how, epsilon
        self.memory: Tensor | None = None
        self.variance: Tensor | None = None

    @property
    def random(self) -> bool:
        """Whether photos are seen otherwise at every step."""
        return self.sight.random or self.how.diversity > 0

    def __call__(self, point: Tensor, goal: Objective, told: Knowledge, moment: str) -> tuple[Tensor, Tensor] | None:
        """The direction [n, 3, h, w] at the photos, and their log-probabilities; None where nothing has a gradient.

        point: a leaf without a gradient, left so; moment: names the random numbers of this step.
        """
        found = self._gradient(point, goal, told, moment)
        if found is None:
            return None
        gradient, log_probs = found
        if self.how.neighbours:
            here = gradient
            gradient = here if self.variance is None else here + self.variance
            self.variance = self._around(point, goal, told, moment) - here
        if self.how.translation > 1:
            width = self.how.translation
            gradient = convolved(gradient, gaussian((width - 1) / 6, width // 2), "constant")
        if self.how.momentum:
            gradient = gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True).add_(TINY)
            if self.memory is not None:
                gradient = gradient.add_(self.memory, alpha=self.how.momentum)
            self.memory = gradient
        return gradient, log_probs

    def keep(self, rows: Tensor) -> None:
        """Forget all photos but these."""
        self.memory = None if self.memory is None else self.memory[rows]
        self.variance = None if self.variance is None else self.variance[rows]

    def met(self, point: Tensor, goal: Objective, log_probs: Tensor) -> Tensor | None:
        """bool [n], photos that are finished; what was met by luck is looked at again in every fixed way."""
        met = goal.met(log_probs)
        if met is None or not self.random or not bool(met.any()):
            return met
        (rows,) = torch.nonzero(met, as_tuple=True)
        with torch.no_grad():
            for look in self.sight.every():
                again = goal.rows(rows).met(look(point[rows]))
                assert again is not None
                met[rows] &= again
        return met

    def _gradient(self, point: Tensor, goal: Objective, told: Knowledge, moment: str) -> tuple[Tensor, Tensor] | None:
        """The mean gradient over all copies, and the log-probabilities of the first."""
        copies = self.how.scales
        with torch.enable_grad():
            point.requires_grad_(True)
            posted = self.sight.posted(point, told, moment)
            first, value = None, None
            for copy in range(copies):
                shown = posted if not copy else posted * 0.5**copy
                if self.how.diversity:
                    shown = diverse(shown, self.how.diversity, told, f"{moment} {copy}")
                log_probs = self.sight.looks(shown)
                each = goal.value(log_probs).sum()
                first, value = (log_probs, each) if value is None else (first, value + each)
            assert first is not None
            assert value is not None
            if not value.requires_grad:  # something on the way, such as a channel, lets no gradient through
                point.requires_grad_(False)
                return None
            (gradient,) = torch.autograd.grad(value, point)
        point.requires_grad_(False)
        return (gradient if copies == 1 else gradient / copies), first.detach()

    def _around(self, point: Tensor, goal: Objective, told: Knowledge, moment: str) -> Tensor:
        """The mean gradient at random photos nearby."""
        total = torch.zeros_like(point)
        for number in range(self.how.neighbours):
            name = f"{moment} near {number}"
            near = point + NEAR * self.epsilon * told.uniform(name, tuple(point.shape[1:]), point)
            found = self._gradient(near, goal, told, name)
            assert found is not None
            total += found[0]
        return total / self.how.neighbours


def diverse(photos: Tensor, probability: float, told: Knowledge, moment: str) -> Tensor:
    """Each photo, with this probability, shrunk to a random size and placed at random in black (Xie et al. 2019)."""
    chance = told.uniform(f"diversity {moment}", (4,), photos).double().add_(1).div_(2)
    ratio = torch.where(chance[:, 0] < probability, SMALLEST + (1 - SMALLEST) * chance[:, 1], 1.0)
    down, across = (
        placement(side, (ratio * side).round().clamp_(min=1), place).to(photos.dtype)
        for side, place in zip(photos.shape[-2:], (chance[:, 2], chance[:, 3]), strict=True)
    )
    return down[:, None] @ photos @ across[:, None].transpose(-1, -2)


def placement(side: int, sizes: Tensor, place: Tensor) -> Tensor:
    """float64 [n, side, side]: matrices that shrink a row of pixels to each size, bilinearly, and place it in zeros.

    sizes: float64 [n], whole, 1 to side; place: float64 [n] in [0, 1), where in what is left. A matrix product is the
    same on every device, as the gradient of a sampled grid is not.
    """
    size, start = sizes[:, None], (place * (side - sizes + 1)).floor()[:, None]
    out = torch.arange(side, dtype=torch.float64, device=sizes.device)[None]
    source = ((out - start + 0.5) * (side / size) - 0.5).clamp_(0, side - 1)
    weights = (1 - (source[..., None] - out[:, None]).abs()).clamp_(min=0)
    inside = (out >= start) & (out < start + size)
    return weights * inside[..., None]
