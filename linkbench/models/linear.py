"""The linear model that finds linear shortcuts: logistic regression of every phenotype on pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.api.schema import Schema
from linkbench.models.losses import Losses

BATCH = 128
"""Photos per step."""

RATE, MOMENTUM = 1.0, 0.9
"""Of the steps; with photos of length 1 the loss is smooth enough for them."""


def linear_model(
    pixels: Callable[[Array], Tensor],
    labels: Array,
    schema: Schema,
    *,
    device: str,
    seed: int,
    epochs: int,
    through_zero: bool = False,
) -> Tensor:
    """float64 [V, 3 h w], the weights of a logistic regression of each phenotype, on the CPU.

    pixels: int64 [b] to photos float [b, 3, h, w]; labels: int64 [n, P], MISSING where unknown. Photos are centred and
    divided by one number, so that the mean square of their length is 1. Stochastic gradients
    from weights of zero: what is learned stays within the span of the photos, and the weights of a phenotype's
    variants sum to zero. through_zero: without a centre and without a bias.
    """
    count = len(labels)
    blocks = np.array_split(np.arange(count), -(-count // BATCH))
    mean, square = torch.zeros((), dtype=torch.float64), 0.0
    for index in blocks:
        flat = pixels(index).flatten(1).double().cpu()
        mean = mean + flat.sum(dim=0) / count
        square += float(flat.square().sum()) / count
    middle = torch.zeros_like(mean) if through_zero else mean
    scale = max(square - float(middle.square().sum()), 1e-12) ** 0.5
    centre = middle.float().to(device)
    losses = Losses(schema, labels, 1.0, device)
    weights = torch.zeros(schema.width, len(mean), device=device, requires_grad=True)
    bias = torch.zeros(schema.width, device=device, requires_grad=not through_zero)
    optimiser = torch.optim.SGD([weights] if through_zero else [weights, bias], lr=RATE, momentum=MOMENTUM)
    for epoch in range(epochs):
        order = seeds.generator(seed, "linear", epoch).permutation(count)
        for index in np.array_split(order, len(blocks)):
            given = (pixels(index).to(device).flatten(1) - centre) / scale
            truth = torch.from_numpy(np.asarray(labels[index])).to(device)
            loss = losses.total(given @ weights.T + bias, truth)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return weights.detach().double().cpu()
