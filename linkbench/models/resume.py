"""The state of a training as arrays, and back: it goes on to the same bytes as if it had never been interrupted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linkbench.api.data import Array, Artefact
from linkbench.models.heads import Head

ALONG = "companion/"


def packed(tensor: Tensor) -> Array:
    """The numbers of a tensor, equal bytes for equal numbers; bfloat16, which files do not know, as float32."""
    # numpy keeps strides, such as those of channels-last
    plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    array: Array = np.ascontiguousarray(plain.cpu().numpy()).reshape(plain.shape)
    return array


def origin(heads: Sequence[Head], facts: Iterable[Any]) -> str:
    """SHA-256 of where a training begins: its networks' weights and what else decides how it goes."""
    digest = hashlib.sha256(repr(tuple(facts)).encode())
    for head in heads:
        for name, tensor in head.network.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(packed(tensor).data)
    return digest.hexdigest()


def state(heads: Sequence[Head], along: Mapping[str, Array], meta: Mapping[str, Any]) -> Artefact:
    """Everything that a training has changed. along: of its companion; meta: what stands for itself."""
    arrays: dict[str, Any] = {ALONG + name: array for name, array in along.items()}
    told = []
    for number, head in enumerate(heads):
        for kind, tensors in (("weights", head.network.state_dict()), ("kept", head.kept or {})):
            arrays |= {f"{number}/{kind}/{name}": packed(tensor) for name, tensor in tensors.items()}
        for place, values in head.optimiser.state_dict()["state"].items():
            arrays |= {f"{number}/optimiser/{place}/{name}": packed(value) for name, value in values.items()}
        told.append({"best": head.best, "best_epoch": head.best_epoch, "learning": head.learning})
    return Artefact(arrays, {**meta, "heads": told})


def bring_back(heads: Sequence[Head], found: Artefact) -> dict[str, Array]:
    """Make networks and optimisers what they were; what belongs to the companion."""
    arrays = {name: np.array(found.array(name)) for name in found.arrays}

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith(prefix)
        }

    for number, (head, told) in enumerate(zip(heads, found.meta["heads"], strict=True)):
        head.best, head.best_epoch, head.learning = told["best"], told["best_epoch"], told["learning"]
        head.network.load_state_dict(part(f"{number}/weights/"))
        head.kept = part(f"{number}/kept/") or None
        optimised: dict[int, dict[str, Tensor]] = {}
        parameters = [value for group in head.optimiser.param_groups for value in group["params"]]
        for name, value in part(f"{number}/optimiser/").items():
            place, _, what = name.partition("/")
            like = parameters[int(place)]
            # in the parameter's own order of memory: another order may round another way
            same = value.shape == like.shape
            optimised.setdefault(int(place), {})[what] = torch.empty_like(like).copy_(value) if same else value
        groups = head.optimiser.state_dict()["param_groups"]
        head.optimiser.load_state_dict({"state": optimised, "param_groups": groups})
    return {name.removeprefix(ALONG): array for name, array in arrays.items() if name.startswith(ALONG)}
