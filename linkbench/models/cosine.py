"""A classifier by angles on top of a network's features: what makes features an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linkbench.errors import InputError
from linkbench.models.features import deep_features
from linkbench.models.predictor import evaluating


class Cosine(nn.Module):
    """Photos to scale * cosine between the network's features and one direction per class, [n, classes].

    NormFace (Wang et al. 2017, section 3): features and directions have length 1, so training can only turn them.
    classes: the directions, a parameter [classes, D], which may be the weights of the network's own last layer.
    """

    def __init__(self, network: nn.Module, classes: Tensor, scale: float) -> None:
        super().__init__()
        self.network, self.classes, self.scale = network, classes, scale

    def features(self, photos: Tensor) -> Tensor:
        """float [n, D]; those of several networks side by side."""
        return torch.cat([part.float() for part in deep_features(self.network)(photos)], dim=1)

    def forward(self, photos: Tensor) -> Tensor:
        directions = nn.functional.normalize(self.classes.float(), dim=1)
        return self.scale * nn.functional.linear(nn.functional.normalize(self.features(photos), dim=1), directions)


def on_last_layer(network: nn.Module, scale: float, size: int) -> Cosine:
    """The network with the weights of its last linear layer as directions. Raises InputError if it does not end in one.

    size: edge of a photo, pixels.
    """
    last = next((module for module in reversed(list(network.modules())) if isinstance(module, nn.Linear)), None)
    if last is not None:
        cosine = Cosine(network, last.weight, scale)
        with evaluating(network), torch.no_grad():
            seen = cosine.features(torch.zeros(1, 3, size, size, device=last.weight.device))
        if seen.shape[1] == last.in_features:
            return cosine
    raise InputError("an embedding is trained below a last linear layer, and this architecture does not end in one")
