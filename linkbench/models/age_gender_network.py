"""The network behind face-api's age and gender estimates: a small Xception (Chollet 2017) at 112 px.

Convolutions are separable: one filter per channel, then a mixture of the channels. Blocks of them stand beside short
cuts, as in Xception's entry, middle and exit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linkbench.models.networks import Framed, Normalised, Window

SIZE = 112
"""Edge of the photos, pixels; others are scaled to it."""

WIDTH = 512
"""Numbers of the features."""

MEAN = (122.782, 117.001, 104.298)
"""The mean face colour that is taken off, red first, 0..255."""

REDUCING = {"entry_0": (32, 64), "entry_1": (64, 128), "exit": (128, 256)}
"""Blocks that halve the photo: channels in and out."""

KEEPING = {"middle_0": 128, "middle_1": 128}
"""Blocks that keep it, and their channels."""


class Separable(nn.Module):
    """A 3 x 3 filter for each channel, then a mixture of channels with a bias."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False)
        self.pointwise = nn.Conv2d(inside, outside, 1)

    def forward(self, photos: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(photos))
        return out


class _Reducing(nn.Module):
    """Two separable convolutions and a maximum over places, beside a convolution that leaves out every second place."""

    def __init__(self, inside: int, outside: int, *, activated: bool) -> None:
        super().__init__()
        self.activated = activated
        self.separable0, self.separable1 = Separable(inside, outside), Separable(outside, outside)
        self.expansion = nn.Conv2d(inside, outside, 1, 2)

    def forward(self, photos: Tensor) -> Tensor:
        out = self.separable0(photos if self.activated else torch.relu(photos))
        out = self.separable1(torch.relu(out))
        # windows begin at the first pixel; what the last one lacks counts as nothing
        out = nn.functional.max_pool2d(out, 3, 2, ceil_mode=True)
        both: Tensor = out + self.expansion(photos)
        return both


class _Keeping(nn.Module):
    """Three separable convolutions beside a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable0, self.separable1 = Separable(channels, channels), Separable(channels, channels)
        self.separable2 = Separable(channels, channels)

    def forward(self, photos: Tensor) -> Tensor:
        out = photos
        for layer in (self.separable0, self.separable1, self.separable2):
            out = layer(torch.relu(out))
        return out + photos


class AgeGenderNetwork(nn.Module):
    """Photos float [n, 3, h, w] in [0, 1] to logits [n, classes], the last layer above the features."""

    learning_rate = 2e-4

    def __init__(self, classes: int, window: Window | None = None) -> None:
        super().__init__()
        self.frame = Framed(SIZE, window)
        self.normalise = Normalised(MEAN, (255.0, 255.0, 255.0), scale=255.0)
        self.conv_in = nn.Conv2d(3, 32, 3, 2)
        for name, (inside, outside) in REDUCING.items():
            setattr(self, name, _Reducing(inside, outside, activated=name == "entry_0"))
        for name, channels in KEEPING.items():
            setattr(self, name, _Keeping(channels))
        self.separable = Separable(REDUCING["exit"][1], WIDTH)
        self.age = nn.Linear(WIDTH, 1).requires_grad_(False)  # of no phenotype: nothing here trains it
        self.head = nn.Linear(WIDTH, classes)

    def features(self, photos: Tensor) -> Tensor:
        """[n, 512], the mean over the places."""
        out = self.normalise(self.frame(photos))
        # 'same' as TensorFlow means it: what is missing is added at the right and at the bottom
        out = torch.relu(self.conv_in(nn.functional.pad(out, (0, 1, 0, 1))))
        for name in ("entry_0", "entry_1", "middle_0", "middle_1", "exit"):
            out = getattr(self, name)(out)
        return torch.relu(self.separable(out)).mean(dim=(2, 3))

    def years(self, photos: Tensor) -> Tensor:
        """[n], how old people look."""
        years: Tensor = self.age(self.features(photos))[:, 0]
        return years

    def forward(self, photos: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(photos))
        return logits
