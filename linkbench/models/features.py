"""What a network sees in a photo just before it decides: the deep features that cloaks move.

A predictor may be several networks (one per phenotype, or an ensemble): each gives features of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.data import Array
from linkbench.errors import InputError
from linkbench.models.batches import batch_size
from linkbench.models.filters import bare
from linkbench.models.predictor import batches_of, evaluating, frozen

Features = Callable[[Tensor], list[Tensor]]
"""Photos float [n, 3, h, w] to the features of each network, float [n, D_i]; differentiable."""

TINY = 1e-12
"""Added below square roots, whose gradient at 0 is infinite."""


def deep_features(predictor: Callable[[Tensor], Tensor] | None) -> Features:
    """The features of every network of a predictor.

    Those are what the network's own method `features(photos)` gives, flattened; without one, what enters the linear
    layer that runs last; without linear layers, or for a predictor that is no torch module, what the network gives.
    """
    assert predictor is not None  # whoever asks for one in `needs` is not called without
    networks = list(_networks(predictor))
    return lambda photos: [network(photos).flatten(1) for network in networks]


def joined(features: Features, photos: Tensor, scales: tuple[float, ...]) -> Tensor:
    """[n, D], the features of all networks side by side, each of length about 1."""
    parts = features(photos)
    return torch.cat([part.float() / scale for part, scale in zip(parts, scales, strict=True)], dim=1)


def all_features(network: nn.Module, photos: Tensor) -> Tensor:
    """float32 [n, D], the features of every network of a predictor in one row."""
    return torch.cat([part.float() for part in deep_features(network)(photos)], dim=1)


def last_layer(network: nn.Module, size: int) -> nn.Linear:
    """The linear layer that all features enter. Raises InputError where the network does not end in one.

    size: edge of a photo, pixels.
    """
    last = next((module for module in reversed(list(network.modules())) if isinstance(module, nn.Linear)), None)
    if last is not None:
        with evaluating(network), torch.no_grad():
            seen = all_features(network, torch.zeros(1, 3, size, size, device=last.weight.device))
        if seen.shape[1] == last.in_features:
            return last
    raise InputError(
        "the recipe learns from what enters a last linear layer, and this architecture does not end in one"
    )


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


def embed(
    network: nn.Module, features: Features, photos: Array, device: str = "cpu", rows: Array | None = None
) -> Array:
    """float32 [n, D], the features of every network of a predictor side by side; photos and rows as in `predict`."""
    rows = np.arange(len(photos)) if rows is None else rows
    batch = batch_size(photos.shape[-1], device)
    with frozen(network), torch.inference_mode():
        parts = [
            torch.cat([each.float() for each in features(shown)], dim=1).cpu().numpy()
            for _, shown in batches_of(photos, rows, batch, device)
        ]
    return np.concatenate(parts)
