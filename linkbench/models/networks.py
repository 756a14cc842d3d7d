"""The networks behind the built-in architectures: plain convolutional ones, with gradients that mean something.

All take photos float [n, 3, size, size] in [0, 1] and give logits; each normalises its input itself. In evaluation
mode a photo's logits do not depend on the other photos of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from linkbench.api.schema import Schema
from linkbench.models.side_by_side import side_by_side


class Part(NamedTuple):
    """A network within a predictor, and the phenotypes, by position, that it alone predicts."""

    network: nn.Module
    phenotypes: tuple[int, ...]


class PerPhenotype(nn.Module):
    """One network per phenotype, each with its own weights: photos [n, 3, h, w] to logits [n, V].

    Where nothing can be learned (evaluation mode, weights without gradients) they look at the photos side by side.
    """

    def __init__(self, schema: Schema, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        # a list, not a dictionary: names of phenotypes are the user's and may not be fit for attributes
        self.networks = nn.ModuleList(make(len(schema[phenotype])) for phenotype in schema)

    def forward(self, photos: Tensor) -> Tensor:
        networks = list(self.networks)
        if self.training or any(parameter.requires_grad for parameter in self.parameters()):
            return torch.cat([network(photos) for network in networks], dim=1)
        if photos.requires_grad and torch.is_grad_enabled():
            logits: Tensor = _Apart.apply(photos, networks)  # type: ignore[no-untyped-call]
            return logits
        return torch.cat(side_by_side([functools.partial(each, photos) for each in networks], photos.device), dim=1)

    def parts(self) -> Iterator[Part]:
        """The networks that can be trained, stopped and attacked without each other."""
        for position, network in enumerate(self.networks):
            yield Part(network, (position,))


class _Apart(torch.autograd.Function):
    """Networks of which none learns, forward and backward side by side: photos [n, 3, h, w] to logits [n, V]."""

    @staticmethod
    def forward(ctx: Any, photos: Tensor, networks: Sequence[nn.Module]) -> Tensor:
        ctx.save_for_backward(photos)
        ctx.networks, ctx.seen = networks, _look(photos, networks)
        return torch.cat([logits.detach() for _, logits in ctx.seen], dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():  # somebody wants gradients of gradients
            (photos,) = ctx.saved_tensors
            logits = torch.cat([network(photos) for network in ctx.networks], dim=1)
            (whole,) = torch.autograd.grad(logits, photos, gradient, create_graph=True)
            return whole, None
        seen = _look(ctx.saved_tensors[0], ctx.networks) if ctx.seen is None else ctx.seen
        ctx.seen = None  # activations are large; whoever comes back a second time computes them again
        parts = torch.split(gradient, [logits.shape[1] for _, logits in seen], dim=1)
        each = side_by_side(
            [functools.partial(torch.autograd.grad, *pair[::-1], part) for pair, part in zip(seen, parts, strict=True)],
            gradient.device,
        )
        return functools.reduce(torch.add, [own for (own,) in reversed(each)]), None  # in autograd's own order


def _look(photos: Tensor, networks: Sequence[nn.Module]) -> list[tuple[Tensor, Tensor]]:
    """For each network its own copy of the photos, and logits that lead back to it."""

    def look(network: nn.Module) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            own = photos.detach().requires_grad_()
            return own, network(own)

    return side_by_side([functools.partial(look, network) for network in networks], photos.device)


class Normalised(nn.Module):
    """Photos to (scale * photos - mean) / deviation per channel, optionally blue first."""

    factor: Tensor
    shift: Tensor

    def __init__(
        self, mean: tuple[float, ...], deviation: tuple[float, ...], *, scale: float = 1.0, flip: bool = False
    ) -> None:
        super().__init__()
        self.flip = flip
        middle, spread = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(deviation).view(1, 3, 1, 1)
        self.register_buffer("factor", scale / spread, persistent=False)
        self.register_buffer("shift", -middle / spread, persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        photos = photos.flip(1) if self.flip else photos
        return torch.addcmul(self.shift, photos, self.factor)


class Window(NamedTuple):
    """A square part of a photo, in parts of the photo's edge."""

    left: float
    top: float
    edge: float


class Framed(nn.Module):
    """Square photos, or one part of them, at a network's own size: bilinear, and smoothed first where it is larger."""

    def __init__(self, size: int, window: Window | None) -> None:
        super().__init__()
        self.size, self.window = size, window

    def forward(self, photos: Tensor) -> Tensor:
        if self.window is not None:
            left, top, edge = (round(part * photos.shape[-1]) for part in self.window)
            photos = photos[:, :, top : top + edge, left : left + edge]
        if photos.shape[-1] == self.size:
            return photos
        larger = photos.shape[-1] > self.size
        return nn.functional.interpolate(photos, (self.size, self.size), mode="bilinear", antialias=larger)


def unit_range() -> Normalised:
    """Photos in [0, 1] to about [-2, 2]."""
    return Normalised((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def _convolution(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class SmallNetwork(nn.Module):
    """Strided convolutions, then a linear layer over what is left of the places: [n, 3, size, size] to [n, classes].

    depth: how often the size is halved; the channels double each time, to at most four times the width. Places are
    kept (4 x 4 cells or fewer), because in an aligned face the eyes are always at the same place.
    """

    def __init__(self, classes: int, size: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = [unit_range(), _convolution(3, width, 5, 2)]
        channels, extent = width, (size + 1) // 2
        for level in range(1, depth):
            wider = min(channels * 2, width * 4)
            layers.append(_convolution(channels, wider, 3, 2))
            channels, extent = wider, (extent + 1) // 2
            if level > 1:
                layers.append(_convolution(channels, channels))
        cell = -(-extent // 4)
        layers += [nn.AvgPool2d(cell, ceil_mode=True), nn.Flatten(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(channels * (-(-extent // cell)) ** 2, classes))

    def forward(self, photos: Tensor) -> Tensor:
        out: Tensor = self.layers(photos)
        return out


class _Block(nn.Module):
    """Two convolutions beside a short cut (He et al. 2016)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inside, outside, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
        self.short: nn.Module = nn.Identity()
        if stride > 1 or inside != outside:
            self.short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, photos: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(photos)) + self.short(photos))


class ResidualNetwork(nn.Module):
    """A small ResNet: stem, four stages of `blocks` blocks, mean over places: [n, 3, s, s] to [n, classes]."""

    def __init__(self, classes: int, width: int, blocks: int, dropout: float, stem_stride: int) -> None:
        super().__init__()
        stem = _convolution(3, width, 5, 2) if stem_stride == 2 else _convolution(3, width)
        layers: list[nn.Module] = [unit_range(), stem]
        channels = width
        for stage in range(4):
            wider = width * 2**stage
            for block in range(blocks):
                layers.append(_Block(channels, wider, 2 if stage and not block else 1))
                channels = wider
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, photos: Tensor) -> Tensor:
        out: Tensor = self.layers(photos)
        return out


class VGG16(nn.Module):
    """Configuration D of Simonyan and Zisserman 2015, layers named conv1_1 .. fc8: [n, 3, 224, 224] to [n, classes].

    Wants what VGGFace (Parkhi et al. 2015) was trained on: blue first, 0..255, less the mean face colour.
    """

    blocks = (2, 2, 3, 3, 3)
    learning_rate = 1e-4

    def __init__(self, classes: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.normalise = Normalised((93.5940, 104.7624, 129.1863), (1.0, 1.0, 1.0), scale=255.0, flip=True)
        channels = 3
        for block, count in enumerate(self.blocks, start=1):
            wider = width * min(2 ** (block - 1), 8)
            for layer in range(1, count + 1):
                convolution = nn.Conv2d(channels, wider, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
                setattr(self, f"conv{block}_{layer}", convolution)
                channels = wider
        self.fc6 = nn.Linear(channels * 49, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, classes)
        nn.init.normal_(self.fc8.weight, std=0.01)
        nn.init.zeros_(self.fc8.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, photos: Tensor) -> Tensor:
        out = self.normalise(photos)
        for block, count in enumerate(self.blocks, start=1):
            for layer in range(1, count + 1):
                out = torch.relu(getattr(self, f"conv{block}_{layer}")(out))
            out = nn.functional.max_pool2d(out, 2)
        out = self.dropout(torch.relu(self.fc6(out.flatten(1))))
        out = self.dropout(torch.relu(self.fc7(out)))
        logits: Tensor = self.fc8(out)
        return logits
