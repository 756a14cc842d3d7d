"""What plugins are tried on: a few small photos, and networks that are quick and smooth."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.base import Defender
from linkbench.api.data import Array
from linkbench.api.knowledge import Knowledge, Redraw, StudySet
from linkbench.api.schema import Schema
from linkbench.models.networks import PerPhenotype
from linkbench.models.predictor import Predictor
from linkbench.testing.tables import SCHEMA, probabilities, variants

PHOTOS, SIZE = 4, 24
"""How many photos a defender is tried on, and their edge in pixels."""


class Smooth(nn.Module):
    """A small network without kinks: photos [n, 3, h, w] to the logits of some classes, by default of `SCHEMA`.

    Where a gradient never jumps, rounding cannot turn the direction of a step.
    """

    def __init__(self, classes: int = SCHEMA.width) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.Softplus(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.Softplus(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, classes),
        )  # fmt: skip

    def forward(self, photos: Tensor) -> Tensor:
        logits: Tensor = 4.0 * self.body((photos - 0.5) / 0.25)
        return logits


def predictor(seed: int = 1, schema: Schema = SCHEMA) -> Predictor:
    """In evaluation mode and frozen, as the harness hands predictors out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PerPhenotype(schema, Smooth)
    return Predictor(network, schema).eval().requires_grad_(False)


def photos(count: int = PHOTOS, size: int = SIZE, seed: int = 0) -> Tensor:
    """Smooth random photos of 8 bits, float32 [count, 3, size, size]; some pixels at the very ends of the range."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, max(2, size // 4), max(2, size // 4), generator=generator)
    fine = nn.functional.interpolate(coarse, size=size, mode="bilinear").mul(1.4).sub(0.2).clamp(0, 1)
    return fine.mul(255).round().div(255).contiguous(memory_format=torch.channels_last)


def knowledge(defender: Defender, network: Predictor, learned: Any = None, count: int = PHOTOS) -> Knowledge:
    """What the defender asked for about photos number 0 to count - 1, and nothing else."""
    asked = defender.needs
    return Knowledge(
        schema=SCHEMA,
        keys=tuple(range(count)),
        seed=7,
        predictor=network if "predictor" in asked else None,
        log_p=torch.from_numpy(np.log(probabilities(count, 11))) if "genome" in asked else None,
        reference=torch.from_numpy(np.log(probabilities(60, 12))) if "reference" in asked else None,
        labels=torch.from_numpy(variants(count, 13)) if "labels" in asked else None,
        learned=learned,
        identity=tuple(range(count)),
        redraw=Redraw(_flat, np.arange(count)) if "redraw" in asked else None,
    )


def _flat(rows: Array, variants: Array) -> Array:
    """Photos uint8 [n, 3, SIZE, SIZE] of one colour, by who is asked for and with which variants."""
    shades = (7 * rows + 40 * variants.sum(axis=1)).astype(np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (len(rows), 3, SIZE, SIZE)).copy()


def study_set(defender: Defender, network: Predictor, pixels: Tensor) -> StudySet:
    """The same photos to study beforehand, as a poison has them."""
    seen = network if "predictor" in defender.needs else None
    return StudySet(
        schema=SCHEMA,
        pixels=lambda index: pixels[torch.from_numpy(np.asarray(index))].clone(),
        keys=np.arange(len(pixels)),
        labels=variants(len(pixels), 13) if "labels" in defender.needs else None,
        identity=np.arange(len(pixels)),
        size=int(pixels.shape[-1]),
        device="cpu",
        seed=8,
        predictor=seen,
        untrained=None if seen is None else lambda: PerPhenotype(SCHEMA, Smooth),
    )


@contextlib.contextmanager
def chance(seed: int, others: int = 0) -> Iterator[None]:
    """Torch's generator seeded as the harness does it, NumPy's and Python's with `others`; afterwards as before."""
    plain, state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(others)  # noqa: NPY002
            random.seed(others)
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(state)  # noqa: NPY002


def steps_of_8_bits(values: Tensor) -> Tensor:
    """int64, photos in [0, 1] as they are published with 8 bits."""
    return values.clamp(0, 1).mul(255).round().long()
