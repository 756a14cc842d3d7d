"""The linear model that finds linear shortcuts: logistic regression of every phenotype on pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.training_data import TrainingData
from linkbench.models.losses import Losses

BATCH = 128
"""Photos per step."""

RATE, MOMENTUM = 1.0, 0.9
"""Of the steps; with photos of length 1 the loss is smooth enough for them."""


def linear_model(data: TrainingData, epochs: int) -> Tensor:
    """float64 [V, 3 h w], the weights of a logistic regression of each phenotype, on the CPU.

    Photos are centred and divided by one number, so that the mean square of their length is 1. Stochastic gradients
    from weights of zero: what is learned stays within the span of the photos, and the weights of a phenotype's
    variants sum to zero.
    """
    photos, device = data.training.photos, torch.device(data.device)
    count, schema = len(data.training), data.schema
    blocks = np.array_split(np.arange(count), -(-count // BATCH))
    mean, square = torch.zeros(3 * photos.size**2, dtype=torch.float64), 0.0
    for index in blocks:
        flat = photos.batch(index).flatten(1).double()
        mean += flat.sum(dim=0) / count
        square += float(flat.square().sum()) / count
    scale = max(square - float(mean.square().sum()), 1e-12) ** 0.5
    centre = mean.float().to(device)
    losses = Losses(schema, data.training.labels, 1.0, data.device)
    weights = torch.zeros(schema.width, len(mean), device=device, requires_grad=True)
    bias = torch.zeros(schema.width, device=device, requires_grad=True)
    optimiser = torch.optim.SGD([weights, bias], lr=RATE, momentum=MOMENTUM)
    for epoch in range(epochs):
        order = seeds.generator(data.seed, "linear", epoch).permutation(count)
        for index in np.array_split(order, len(blocks)):
            given = (photos.batch(index).to(device).flatten(1) - centre) / scale
            labels = torch.from_numpy(data.training.labels[index]).to(device)
            logits = given @ weights.T + bias
            each = [
                losses.mean(logits[:, span], labels[:, position], position)
                for position, span in enumerate(schema.slices.values())
            ]
            optimiser.zero_grad()
            torch.autograd.backward(torch.stack(each).sum())
            optimiser.step()
    return weights.detach().double().cpu()
