"""The network of dlib's face recognition model (King 2017), a ResNet of 29 convolutions and 128 features.

Its batch normalisation is folded into scales already in dlib's released form; here scale and convolution are one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from linkbench.models.networks import Framed, Normalised, Window

SIZE = 150
"""Edge of the photos, pixels; others are scaled to it."""

WIDTH = 128
"""Numbers of an embedding."""

MEAN = (122.782, 117.001, 104.298)
"""The mean face colour that is taken off, red first, 0..255."""


class Stage(NamedTuple):
    """A residual block: its name, channels in and out, and whether it halves the photo."""

    name: str
    inside: int
    outside: int
    halves: bool


BLOCKS = (
    *(Stage(f"conv32_{block}", 32, 32, False) for block in (1, 2, 3)),
    Stage("conv64_down", 32, 64, True),
    *(Stage(f"conv64_{block}", 64, 64, False) for block in (1, 2, 3)),
    Stage("conv128_down", 64, 128, True),
    *(Stage(f"conv128_{block}", 128, 128, False) for block in (1, 2)),
    Stage("conv256_down", 128, 256, True),
    *(Stage(f"conv256_{block}", 256, 256, False) for block in (1, 2)),
    Stage("conv256_down_out", 256, 256, True),
)


class _Block(nn.Module):
    """Two convolutions beside a short cut; where the photo is halved the short cut is a mean over 2 x 2 pixels."""

    def __init__(self, inside: int, outside: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = nn.Conv2d(inside, outside, 3, 2 if halves else 1, 0 if halves else 1)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1)

    def forward(self, photos: Tensor) -> Tensor:
        out = self.conv2(torch.relu(self.conv1(photos)))
        if self.halves:
            photos = nn.functional.avg_pool2d(photos, 2)
            # zeros where one of both is smaller: places at the right and the bottom, channels at the end
            lower, right = photos.shape[2] - out.shape[2], photos.shape[3] - out.shape[3]
            out = nn.functional.pad(out, (0, right, 0, lower))
            photos = nn.functional.pad(photos, (0, 0, 0, 0, 0, out.shape[1] - photos.shape[1]))
        return torch.relu(out + photos)


class DlibNetwork(nn.Module):
    """Photos float [n, 3, h, w] in [0, 1] to logits [n, classes], the last layer above the embedding."""

    learning_rate = 1e-4

    def __init__(self, classes: int, jitter: int = 0, window: Window | None = None) -> None:
        super().__init__()
        self.jitter = jitter
        self.frame = Framed(SIZE, window)
        self.normalise = Normalised(MEAN, (255.0, 255.0, 255.0), scale=255.0)
        self.conv32_down = nn.Conv2d(3, 32, 7, 2)
        for block in BLOCKS:
            setattr(self, block.name, _Block(block.inside, block.outside, block.halves))
        self.fc = nn.Linear(BLOCKS[-1].outside, WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, classes)

    def features(self, photos: Tensor) -> Tensor:
        """The embedding [n, 128], the mean over the photo and its moved copies.

        Photos of one person lie within about 0.6 of each other.
        """
        photos = self.frame(photos)
        if not self.jitter:
            return self.embedding(photos)
        height, width, step = photos.shape[2], photos.shape[3], self.jitter
        wide = nn.functional.pad(photos, (step, step, step, step), mode="replicate")
        places = ((step, step), (0, step), (2 * step, step), (step, 0), (step, 2 * step))
        views = [self.embedding(wide[:, :, y : y + height, x : x + width]) for y, x in places]
        return torch.stack(views).mean(dim=0)

    def embedding(self, photos: Tensor) -> Tensor:
        """[n, 128], of photos of 150 px exactly as they are."""
        out = torch.relu(self.conv32_down(self.normalise(photos)))
        out = nn.functional.max_pool2d(out, 3, 2)
        for block in BLOCKS:
            out = getattr(self, block.name)(out)
        numbers: Tensor = self.fc(out.mean(dim=(2, 3)))
        return numbers

    def forward(self, photos: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(photos))
        return logits
