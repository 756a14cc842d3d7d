"""Last layers fitted to what a network makes of photos; everything before them stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from linkbench.api import seeds
from linkbench.api.data import MISSING, Array
from linkbench.api.training_data import Photos, Report, TrainingData
from linkbench.errors import InputError
from linkbench.models import logistic
from linkbench.models.features import all_features, last_layer
from linkbench.models.losses import Losses
from linkbench.models.predictor import evaluating, parts_of, place
from linkbench.models.training import examine
from linkbench.models.tuning import through

PENALTIES = tuple(10.0 ** (half / 2) for half in range(8, -4, -1))
"""That are tried, the strongest first; features have a mean square of 1 per number."""

FOLDS = 5
"""Parts of the training people: each is judged by what the others teach."""


def fit(network: nn.Module, data: TrainingData, balance: float) -> Report:
    """Fit the last layer of every network of a predictor, in place. Raises InputError where one does not end in one.

    balance: see linkbench.models.losses.Losses.
    """
    place(network, data.device)
    schema, labels = data.schema, data.training.labels
    losses = Losses(schema, labels, balance, data.device)
    people, who = np.unique(data.training.identity, return_inverse=True)
    fold = (seeds.generator(data.seed, "folds").permutation(len(people)) % FOLDS)[who]
    lost = 0.0
    for part in parts_of(network, schema):
        photos = data.training.photos
        layer = last_layer(part.network, photos.size)
        features = _entering(part.network, photos, data.device)
        found = []
        for position in part.phenotypes:
            weights = losses.weights[position].double().cpu().numpy()
            coefficients, loss = _regression(features, labels[:, position], weights, fold)
            found.append(coefficients)
            lost += loss
        _become(part.network, layer, np.concatenate(found, axis=1), features, photos)
    scores = dict(zip(schema, examine(network, data.validation, losses, data.device), strict=True))
    validation = {phenotype: score._asdict() for phenotype, score in scores.items()}
    row: dict[str, Any] = {"phase": "linear-probe", "epoch": 0, "loss": lost, "validation": validation}
    if data.watch is not None:
        row["watched"] = data.watch(network)
    return Report([row], dict.fromkeys(schema, 0))


def _entering(network: nn.Module, photos: Photos, device: str) -> Array:
    """float64 [n, D], what enters the last layer."""
    out: Array = through(partial(all_features, network), network, photos, device).double().numpy()
    return out


def _regression(features: Array, labels: Array, weights: Array, fold: Array) -> tuple[Array, float]:
    """Coefficients [D + 1, K] of one phenotype, and the mean loss of the photos that they were fitted to.

    Zeros where no photo has a label: all variants are as likely.

    labels: int64 [n]; weights: [K], of the variants; fold: int64 [n], the part that each photo's person is in.
    """
    known = labels != MISSING
    if not known.any():
        return np.zeros((features.shape[1] + 1, len(weights))), 0.0
    classes, fold = labels[known], fold[known]
    middle, scale = logistic.scaled(features[known])
    standard = (features[known] - middle) / scale
    axes = logistic.within(standard)
    rows, weight = standard @ axes.T, weights[classes]

    def solve(people: Array, penalty: float, start: Array | None = None) -> Array:
        return logistic.fit(rows[people], classes[people], len(weights), penalty, weight[people], start)

    parts = [others for held in np.unique(fold) if (others := fold != held).any()]
    taught: Sequence[Array | None] = [None] * len(parts)
    judged: list[float] = []
    for penalty in PENALTIES:
        fits = [solve(part, penalty, start) for part, start in zip(parts, taught, strict=True)]
        lost = [_loss(each, rows, classes, weight * ~part) for each, part in zip(fits, parts, strict=True)]
        judged.append(sum(lost))
        taught = fits
        if len(judged) > 2 and min(judged[-2:]) > min(judged):  # it only gets worse from here on
            break
    everybody = np.ones(len(rows), dtype=bool)
    found = solve(everybody, PENALTIES[int(np.argmin(judged))])
    loss = _loss(found, rows, classes, weight) / len(rows)
    slopes = axes.T @ found[:-1] / scale
    return np.concatenate([slopes, (found[-1] - middle @ slopes)[None]]), loss


def _loss(coefficients: Array, rows: Array, classes: Array, weight: Array) -> float:
    """The weighted sum of -log P(class)."""
    logits = torch.from_numpy(rows @ coefficients[:-1] + coefficients[-1])
    lost = torch.nn.functional.cross_entropy(logits, torch.from_numpy(classes), reduction="none").numpy()
    return float(lost @ weight)


def _become(network: nn.Module, layer: nn.Linear, coefficients: Array, features: Array, photos: Photos) -> None:
    """Give the last layer weights with which the network's logits are those of the regression.

    A network may multiply what its last layer gives by a number, which is found by asking it. Raises InputError for one
    that does anything else.
    """
    first = photos.batch(np.arange(min(2, len(photos)))).to(layer.weight.device)
    wanted = torch.from_numpy(features[: len(first)] @ coefficients[:-1] + coefficients[-1]).to(layer.weight)
    if layer.bias is None:
        raise InputError("the last linear layer of this architecture has no bias, which a regression needs")
    with evaluating(network), torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(1.0)
        factor = float(network(first)[0, 0])
        layer.weight.copy_(torch.from_numpy(coefficients[:-1].T) / factor)
        layer.bias.copy_(torch.from_numpy(coefficients[-1]) / factor)
        if not torch.allclose(network(first).float(), wanted, rtol=1e-2, atol=1e-2):
            raise InputError("the logits of this architecture are not what its last linear layer gives")
