"""Filters in front of a network: what a predictor does to photos before it looks at them, as part of the predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.countermeasure import Countermeasure
from linkbench.api.data import Array, Artefact
from linkbench.errors import PluginError, WeightsError
from linkbench.registry.registry import registry

FILTER = "filter/"
"""Prefix of the arrays that filters have learned in an artefact of the train stage."""


class Filter(nn.Module):
    """A countermeasure's view of photos: float [n, 3, h, w] to the same shape, differentiable, in full precision.

    learned: what the countermeasure took from the training photos. It has no weights: no optimiser changes it.
    """

    def __init__(self, plugin: Countermeasure, learned: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.plugin = plugin
        self.secret: int | None = None
        for name, tensor in learned.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def learned(self) -> dict[str, Tensor]:
        """The learned tensors by name."""
        return dict(self.named_buffers())

    def forward(self, photos: Tensor) -> Tensor:
        with torch.autocast(photos.device.type, enabled=False):
            return self.plugin.see(photos, self.learned)

    def answer(self, network: Callable[[Tensor], Tensor], photos: Tensor) -> Tensor:
        """Logits of the network behind, which computes with the precision that it is asked for."""
        kind = photos.device.type
        mixed, precision = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

        def ask(seen: Tensor) -> Tensor:
            with torch.autocast(kind, dtype=precision, enabled=mixed):
                return network(seen)

        with torch.autocast(kind, enabled=False):
            return self.plugin.answer(ask, photos, self.learned, self.secret)


class Filtered(nn.Module):
    """A network that sees photos through a filter: photos [n, 3, h, w] to the logits of the network behind."""

    def __init__(self, front: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.behind = behind

    def forward(self, photos: Tensor) -> Tensor:
        if isinstance(self.front, Filter):
            return self.front.answer(self.behind, photos)
        logits: Tensor = self.behind(self.front(photos))
        return logits


def judge_with(network: nn.Module, secret: int) -> None:
    """Have filters that look several times at a photo do so with random numbers that no defender knows."""
    for module in network.modules():
        if isinstance(module, Filter):
            module.secret = secret


def look_through(filters: Sequence[nn.Module], network: nn.Module) -> nn.Module:
    """The network behind filters, of which photos meet the first one first; the network itself without any."""
    for front in reversed(filters):
        network = Filtered(front, network)
    return network


def bare(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    """All filters of a network as one module (an identity where there are none), and the network behind them."""
    fronts: list[nn.Module] = []
    while isinstance(network, Filtered):
        fronts.append(network.front)
        network = network.behind
    return nn.Sequential(*fronts), network


def pack(filters: Sequence[nn.Module]) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    """Filters as arrays `filter/<number>/<name>` and as JSON: the countermeasure's name and parameters."""
    arrays: dict[str, Array] = {}
    described = []
    for number, each in enumerate(filters):
        if not isinstance(each, Filter):
            raise PluginError(f"a recipe reports {type(each).__name__} as a filter; only countermeasures make filters")
        name = registry().name_of("recipe", type(each.plugin))
        described.append({"recipe": name, "params": each.plugin.model_dump(mode="json", by_alias=True)})
        for key, tensor in each.learned.items():
            arrays[f"{FILTER}{number}/{key}"] = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return arrays, described


def unpack(artefact: Artefact) -> list[Filter]:
    """The filters of a train stage, on the CPU. Raises WeightsError for a recipe that is no countermeasure any more."""
    out = []
    for number, described in enumerate(artefact.meta.get("filters", [])):
        cls = registry().load("recipe", described["recipe"])
        if not issubclass(cls, Countermeasure):
            raise WeightsError(
                f"the predictor looks through a filter of the recipe {described['recipe']!r}, which is no "
                f"countermeasure any more; train it again"
            )
        prefix = f"{FILTER}{number}/"
        learned = {
            name.removeprefix(prefix): torch.from_numpy(np.array(artefact.array(name)))
            for name in artefact.arrays
            if name.startswith(prefix)
        }
        out.append(Filter(cls.model_validate(described["params"], strict=False), learned))
    return out
