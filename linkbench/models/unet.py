"""A small U-Net: it takes away from photos what it has learned to be a change, or makes changes of its own."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

SLOPE = 0.1
"""Of the rectifiers below zero."""

CONTRAST, STEP = 4.0, 8.0
"""Photos are made about as wide as a normal distribution, and what is taken away about as small as protection is."""


class UNet(nn.Module):
    """Photos float [n, 3, h, w] in [0, 1] to the same: the photo less a residual, from three scales.

    With other numbers of planes, `inputs` and `outputs`, only `planes` can be called.
    Ronneberger et al. 2015, with residual learning (Zhang et al. 2017), weights as He et al. 2015 draw them and no
    normalisation, so that a photo's result depends on nothing but the photo. width: channels at full resolution, twice
    as many below. The last layer starts at zero: an untrained network changes nothing.
    """

    def __init__(self, width: int, inputs: int = 3, outputs: int = 3) -> None:
        super().__init__()
        self.first = _Pair(inputs, width)
        self.second = _Pair(width, 2 * width)
        self.third = _Pair(2 * width, 2 * width)
        self.up_second = _Pair(4 * width, width)
        self.up_first = _Pair(2 * width, width)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, a=SLOPE)
                assert part.bias is not None
                nn.init.zeros_(part.bias)
        nn.init.zeros_(self.last.weight)

    def forward(self, photos: Tensor) -> Tensor:
        cleaned: Tensor = photos - self.planes((photos - 0.5) * CONTRAST) / STEP
        return cleaned.clamp(0.0, 1.0)

    def planes(self, seen: Tensor) -> Tensor:
        """float [n, inputs, h, w], about as wide as a normal distribution, to what the last layer says."""
        fine = self.first(seen)
        middle = self.second(F.avg_pool2d(fine, 2))
        coarse = self.third(F.avg_pool2d(middle, 2))
        middle = self.up_second(torch.cat([middle, _grown(coarse, middle)], dim=1))
        fine = self.up_first(torch.cat([fine, _grown(middle, fine)], dim=1))
        out: Tensor = self.last(fine)
        return out


class _Pair(nn.Module):
    """Two convolutions."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(before, after, 3, padding=1)
        self.two = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, seen: Tensor) -> Tensor:
        return F.leaky_relu(self.two(F.leaky_relu(self.one(seen), SLOPE)), SLOPE)


def _grown(small: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(small, size=like.shape[-2:], mode="nearest")


def tensors(network: UNet) -> dict[str, Tensor]:
    """The weights by names without dots, as buffers of a filter must have."""
    return {name.replace(".", "_"): tensor.detach().clone() for name, tensor in network.named_parameters()}


def cleaned(photos: Tensor, weights: Mapping[str, Tensor], width: int) -> Tensor:
    """What a network with these weights makes of photos, with gradients to the photos."""
    network, names = _shape(width)
    given = {name: weights[name.replace(".", "_")].to(photos) for name in names}
    out: Tensor = functional_call(network, given, (photos,))
    return out


@functools.cache
def _shape(width: int) -> tuple[UNet, tuple[str, ...]]:
    with torch.device("meta"):  # nothing is drawn, nothing is held: weights come with each call
        network = UNet(width)
    return network, tuple(name for name, _ in network.named_parameters())
