"""What a network sees in a photo just before it decides: the deep features that cloaks move.

A predictor may be several networks (one per phenotype, or an ensemble): each gives features of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from linkbench.errors import PluginError
from linkbench.models.filters import bare

Features = Callable[[Tensor], list[Tensor]]
"""Photos float [n, 3, h, w] to the features of each network, float [n, D_i]; differentiable."""

TINY = 1e-12
"""Added below square roots, whose gradient at 0 is infinite."""


def need_predictor(predictor: Any, who: str) -> Any:
    """The predictor. Raises PluginError where the scenario's knowledge holds none."""
    if predictor is None:
        raise PluginError(f"{who} works with a network and must see a predictor, but its 'knowledge' holds none")
    return predictor


def deep_features(predictor: Callable[[Tensor], Tensor]) -> Features:
    """The features of every network of a predictor.

    Those are what the network's own method `features(photos)` gives, flattened; without one, what enters the linear
    layer that runs last; without linear layers, or for a predictor that is no torch module, what the network gives.
    """
    networks = list(_networks(predictor))
    return lambda photos: [network(photos).flatten(1) for network in networks]


def distance(left: Tensor, right: Tensor) -> Tensor:
    """[n], Euclidean, between features [n, D]; its gradient is 0 where they are equal."""
    return (left - right).square().sum(dim=1).add(TINY).sqrt()


def _networks(predictor: Any) -> Iterator[Callable[[Tensor], Tensor]]:
    if not isinstance(predictor, nn.Module):
        yield predictor
    elif (split := bare(predictor))[1] is not predictor:
        front, network = split
        yield from (_behind(front, inner) for inner in _networks(network))
    elif callable(own := getattr(predictor, "features", None)):
        yield own
    elif isinstance(several := getattr(predictor, "predictors", None), nn.ModuleList):
        for each in several:
            yield from _networks(each)
    elif isinstance(inner := getattr(predictor, "network", None), nn.Module):
        yield from _networks(inner)
    elif callable(parts := getattr(predictor, "parts", None)):
        for part in parts():
            yield from _networks(part.network)
    elif heads := [module for module in predictor.modules() if isinstance(module, nn.Linear)]:
        yield _Penultimate(predictor, heads)
    else:
        yield predictor


def _behind(front: nn.Module, network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda photos: network(front(photos))


class _Penultimate:
    """What enters the linear layer that runs last, [n, D]. The network itself stays as it is."""

    def __init__(self, network: nn.Module, heads: list[nn.Linear]) -> None:
        self.network, self.heads = network, heads

    def __call__(self, photos: Tensor) -> Tensor:
        entered: list[Tensor] = []
        hooks = [head.register_forward_pre_hook(lambda _, given: entered.append(given[0])) for head in self.heads]
        try:
            out: Tensor = self.network(photos)
        finally:
            for hook in hooks:
                hook.remove()
        return entered[-1] if entered else out


def dssim(before: Tensor, after: Tensor) -> Tensor:
    """[n], structural dissimilarity (1 - SSIM) / 2 in [0, 1]; differentiable. Photos float [n, 3, h, w] in [0, 1].

    In full precision wherever it is called: what cloaks may change is far below the resolution of bfloat16.
    """
    from linkbench.metrics.image_quality import ssim

    with torch.autocast(before.device.type, enabled=False):
        return (1 - ssim(before, after)) / 2


def smoothed(photos: Tensor, width: int, sigma: float) -> Tensor:
    """float [n, 3, h, w] after a Gaussian blur; differentiable. width: odd, pixels; sigma: pixels; edges continued."""
    reach = width // 2
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (place / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(device=photos.device, dtype=photos.dtype)
    channels = photos.shape[1]
    down, across = (kernel.view(shape).expand(channels, 1, -1, -1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    padded = nn.functional.pad(photos, (reach, reach, reach, reach), mode="replicate")
    return nn.functional.conv2d(nn.functional.conv2d(padded, down, groups=channels), across, groups=channels)
