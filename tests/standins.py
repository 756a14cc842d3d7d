"""Small networks that stand in for trained predictors, and the knowledge to go with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.base import Attacker
from linkbench.api.data import Genomes
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import PAPER, Schema
from linkbench.harness.proposals import Here
from linkbench.stages.evidence import Scoring, Target, question
from linkbench.stages.matching import Match


class Net(nn.Module):
    """A small network from photos to the logits of some classes; smooth=True has a gradient that never jumps."""

    def __init__(self, classes: int, *, smooth: bool = False) -> None:
        super().__init__()
        act = nn.Softplus if smooth else nn.ReLU
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), act(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), act(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, classes),
        )  # fmt: skip

    def forward(self, photos: Tensor) -> Tensor:
        return 4.0 * self.body((photos - 0.5) / 0.25)


class Predictor(nn.Module):
    """One network per phenotype: photos -> log-probabilities [n, V]."""

    def __init__(self, schema: Schema, *, smooth: bool = False) -> None:
        super().__init__()
        self.networks = nn.ModuleList(Net(len(schema[name]), smooth=smooth) for name in schema)

    def forward(self, photos: Tensor) -> Tensor:
        return torch.cat([network(photos).log_softmax(dim=1) for network in self.networks], dim=1)


def predictor(seed: int = 0, schema: Schema = PAPER, *, smooth: bool = False) -> Predictor:
    """In evaluation mode and frozen, as the harness hands predictors out."""
    torch.manual_seed(seed)
    return Predictor(schema, smooth=smooth).eval().requires_grad_(False)


def random_photos(count: int, size: int = 24, seed: int = 0) -> Tensor:
    """Smooth random photos float32 [count, 3, size, size] in [0, 1], some pixels at the very ends of the range."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size // 4, size // 4, generator=generator)
    return nn.functional.interpolate(coarse, size=size, mode="bilinear").mul(1.4).sub(0.2).clamp(0, 1)


def random_log_p(count: int, seed: int = 0, schema: Schema = PAPER) -> Tensor:
    """float64 [count, V], log P(variant | genome); variants of a phenotype sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, schema.width, generator=generator, dtype=torch.float64)
    return torch.cat([logits[:, span].log_softmax(dim=1) for span in schema.slices.values()], dim=1)


def knowledge(count: int, network: nn.Module | None = None, schema: Schema = PAPER, seed: int = 7) -> Knowledge:
    """All that a defender may ask for, about photos number 0 to count - 1."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([len(schema[name]) for name in schema])
    labels = (torch.rand(count, len(schema), generator=generator) * sizes).long()
    return Knowledge(
        schema=schema,
        keys=tuple(range(count)),
        seed=seed,
        predictor=network,
        log_p=random_log_p(count, seed, schema),
        reference=random_log_p(60, seed + 1, schema),
        labels=labels,
    )


def study_set(
    photos: Tensor, network: nn.Module, identity: list[int], schema: Schema = PAPER, seed: int = 5
) -> StudySet:
    """Photos of these people to study beforehand."""
    return StudySet(
        schema=schema,
        pixels=lambda index: photos[torch.from_numpy(np.asarray(index))],
        keys=np.arange(len(photos)),
        labels=None,
        identity=np.asarray(identity),
        size=int(photos.shape[-1]),
        device="cpu",
        seed=seed,
        predictor=network,
    )


def joint(attacker: Attacker, genomes: Genomes, target: Target) -> Match:
    """A joint attacker in this process."""
    asked = question(genomes, target, group=False)
    return Match(attacker, Here(Scoring.of(attacker, asked)), asked)
