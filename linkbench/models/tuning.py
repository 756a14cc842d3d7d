"""A trained network learns the people of a gallery."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.data import Array
from linkbench.api.progress import advance
from linkbench.api.schema import Schema
from linkbench.api.training_data import Examples, Photos, TrainingData
from linkbench.models.batches import batch_size
from linkbench.models.cosine import Cosine
from linkbench.models.predictor import evaluating, place, upload
from linkbench.models.seeding import seeded
from linkbench.models.training import Schedule, fit, suited_rate


class Tuning(NamedTuple):
    """How to train on, see linkbench.identifiers.fine_tuned."""

    last: int | None
    epochs: int
    learning_rate: float | None
    batch: int | None
    weight_decay: float
    augment: float
    scale: float


class _Partly(Cosine):
    """A cosine classifier of which some layers are left alone, their statistics too."""

    still: tuple[nn.Module, ...] = ()

    def train(self, mode: bool = True) -> _Partly:
        super().train(mode)
        for module in self.still:
            module.eval()
        return self


def tuned(
    network: nn.Module, photos: Photos, who: Array, people: int, how: Tuning, *, device: str, seed: int
) -> nn.Module:
    """A classifier photos -> [n, people] on top of the network, which is changed in place."""
    place(network, device)
    imprinted = Cosine(network, nn.Parameter(torch.zeros(1, 1)), how.scale)
    features = nn.functional.normalize(through(imprinted.features, imprinted, photos, device), dim=1)
    directions = torch.zeros(people, features.shape[1])
    directions.index_add_(0, torch.from_numpy(np.ascontiguousarray(who)), features)
    classifier = _Partly(network, nn.Parameter(directions), how.scale)
    if how.last is not None:
        layers = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
        classifier.still = tuple(layers[: max(0, len(layers) - how.last)])
        for layer in classifier.still:
            layer.requires_grad_(False)
    nothing = np.zeros((len(who), 0))
    examples = Examples(photos, who[:, None], nothing, who)
    nobody = Examples(Photos(photos.array, np.zeros(0, np.int64)), who[:0, None], nothing[:0], who[:0])
    schema = Schema({"identity": [str(person) for person in range(people)]})
    data = TrainingData(schema, examples, nobody, nothing[:0], device, seed)
    plan = Schedule(
        epochs=how.epochs,
        learning_rate=how.learning_rate or suited_rate(network) / 2,
        batch=how.batch,
        weight_decay=how.weight_decay,
        augment=how.augment,
        phase="fine-tuned",
    )
    with seeded(device, seed):
        fit(classifier, data, plan)
    return classifier.eval()


def outputs(classifier: nn.Module, photos: Photos, device: str) -> Array:
    """float64 [n, people], what the classifier says of each photo."""
    out: Array = through(classifier, classifier, photos, device).double().numpy()
    return out


def through(function: Callable[[Tensor], Tensor], network: nn.Module, photos: Photos, device: str) -> Tensor:
    """float32 [n, D] on the CPU: a function of the network in evaluation mode, batch by batch."""
    step = batch_size(photos.size, device)
    out = []
    with evaluating(network), torch.no_grad():
        for start in range(0, len(photos), step):
            batch = photos.batch(np.arange(start, min(start + step, len(photos))))
            out.append(function(upload(batch, device)).float().cpu())
            advance(min(start + step, len(photos)), len(photos))
    return torch.cat(out)
