"""How a U-Net learns to give photos back as they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linkbench.api import seeds
from linkbench.api.training_data import Examples, TrainingData
from linkbench.models.seeding import seeded
from linkbench.models.unet import UNet, tensors

BATCH = 24
"""Photos of a training step."""


class RestorationPlan(NamedTuple):
    """width: channels of the U-Net at full resolution; steps: of training; learning_rate: at first."""

    width: int
    steps: int
    learning_rate: float


def learn_to_restore(
    data: TrainingData, seen: Sequence[Examples], purpose: str, plan: RestorationPlan
) -> dict[str, Tensor]:
    """The weights of a U-Net that makes the training photos of what became of them: the least mean square error.

    seen: the training photos after each of several tools; each photo of a batch of BATCH comes after one of them, drawn
    at random, and mirrored by chance. purpose: names the random numbers. Adam, its rate along a cosine.
    """
    count, random = len(data.training), seeds.generator(data.seed, purpose)
    with seeded(data.device, seeds.derive(data.seed, purpose, "weights")):
        network = UNet(plan.width).to(data.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    for _ in range(plan.steps):
        index = random.choice(count, min(BATCH, count), replace=False)
        tool, mirrored = random.integers(0, len(seen), len(index)), random.random(len(index)) < 0.5
        target = data.training.photos.batch(index)
        given = torch.empty_like(target)
        for at, examples in enumerate(seen):
            own = torch.from_numpy(np.flatnonzero(tool == at))
            if len(own):
                given[own] = examples.photos.batch(index[tool == at])
        pair = torch.stack([given, target])
        turned = torch.from_numpy(mirrored)
        pair[:, turned] = pair[:, turned].flip(-1)
        given, target = pair.to(data.device)
        loss = (network(given) - target).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return tensors(network)
