"""A defender set on photos while a predictor is trained: what it may know, and its budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.data import Array
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.training_data import Examples, TrainingData
from linkbench.harness.adoption import adopters
from linkbench.harness.budget import project
from linkbench.models.predictor import Predictor, frozen, mixed_precision


def learn(data: TrainingData, defender: Defender, network: nn.Module, purpose: str) -> Any:
    """What the defender works out from the training photos before it changes any, None if it does not learn."""
    if type(defender).learn is Defender.learn:
        return None
    examples = data.training
    with frozen(network):
        return defender.learn(
            StudySet(
                schema=data.schema,
                pixels=lambda index: examples.photos.batch(index).to(data.device),
                keys=examples.photos.rows,
                labels=np.array(examples.labels) if "labels" in defender.needs else None,
                identity=np.array(examples.identity),
                size=examples.photos.size,
                device=data.device,
                seed=seeds.derive(data.seed, purpose, "learn"),
                predictor=Predictor(network, data.schema).eval() if "predictor" in defender.needs else None,
                untrained=data.untrained,
            )
        )


def defend(
    data: TrainingData,
    defender: Defender,
    photos: Tensor,
    index: Array,
    network: nn.Module,
    purpose: str,
    *,
    keys: Array | None = None,
    examples: Examples | None = None,
    learned: Any = None,
) -> Tensor:
    """What the defender makes of a batch, projected to its budget: float [b, 3, h, w] on the photos' device.

    index: int64 [b], which photos of the examples (the training one by default); network: the predictor it sees,
    whatever the defender's own `knowledge` says; purpose and keys, int64 [b] (by default the photos' rows in the
    cohort), name the random numbers; learned: what `learn` gave. Photos of people who, by the defender's rate, do
    not use it stay as they are. Raises PluginError for a wrong shape or numbers that are not finite.
    """
    examples = examples or data.training

    def tensor(array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(photos.device)

    with frozen(network), mixed_precision(photos.device):
        knowledge = Knowledge(
            schema=data.schema,
            keys=tuple((examples.photos.rows[index] if keys is None else keys).tolist()),
            seed=seeds.derive(data.seed, purpose),
            predictor=Predictor(network, data.schema).eval() if "predictor" in defender.needs else None,
            log_p=tensor(examples.log_p[index]) if "genome" in defender.needs else None,
            reference=tensor(data.reference) if "reference" in defender.needs else None,
            labels=tensor(examples.labels[index]) if "labels" in defender.needs else None,
            learned=learned,
            identity=tuple(examples.identity[index].tolist()),
        )
        changed = defender.perturb(photos.clone(), knowledge)
    changed = project(photos, changed.detach(), getattr(defender, "epsilon", None))
    if defender.rate < 1 or defender.identities is not None:
        using = adopters(examples.identity, defender, seeds.derive(data.seed, "users"))[index]
        changed = torch.where(tensor(using)[:, None, None, None], changed, photos)
    return changed
