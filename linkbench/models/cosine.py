"""A classifier by angles on top of a network's features: what makes features an embedding."""

from __future__ import annotations

from torch import Tensor, nn

from linkbench.models.features import all_features, last_layer


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
        return all_features(self.network, photos)

    def forward(self, photos: Tensor) -> Tensor:
        directions = nn.functional.normalize(self.classes.float(), dim=1)
        return self.scale * nn.functional.linear(nn.functional.normalize(self.features(photos), dim=1), directions)


def on_last_layer(network: nn.Module, scale: float, size: int) -> Cosine:
    """The network with the weights of its last linear layer as directions. Raises InputError if it does not end in one.

    size: edge of a photo, pixels.
    """
    return Cosine(network, last_layer(network, size).weight, scale)
