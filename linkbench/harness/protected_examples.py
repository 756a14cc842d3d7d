"""Photos of an attacker's own people as a tool protects them, while a predictor is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from linkbench.api.base import Defender
from linkbench.api.data import Array
from linkbench.api.training_data import Examples, Photos, TrainingData
from linkbench.errors import InputError
from linkbench.harness.defend import defend
from linkbench.models.batches import batch_size


def need_trained(data: TrainingData, defender: Defender, name: str, who: str) -> None:
    """Raise InputError where a defender must see a predictor and the network is not trained yet."""
    if "predictor" in defender.needs and not data.started:
        raise InputError(
            f"{who}: the defender {name!r} must see a trained network to protect photos; give the model a 'start'"
        )


def protected_examples(
    data: TrainingData,
    examples: Examples,
    network: nn.Module,
    defender: Defender,
    learned: Any,
    file: Path,
    purpose: str,
    also: Array | None = None,
) -> Examples:
    """The examples with protected photos, held as float32 in a file that must outlive them.

    network: the predictor that the defender sees; learned: what `linkbench.harness.defend.learn` gave; purpose: names
    the random numbers; also: int64 [m], examples that follow once more with their photos as they were.
    """
    every = np.concatenate([np.arange(len(examples)), np.arange(0) if also is None else also])
    if not len(every):
        return examples
    edge = examples.photos.size
    out = np.memmap(file, np.float32, "w+", shape=(len(every), 3, edge, edge))
    step = max(1, batch_size(edge, data.device) // 4)
    for start in range(0, len(every), step):
        index = every[start : start + step]
        photos = examples.photos.batch(index)
        changed = max(0, min(step, len(examples) - start))
        if changed:
            before = photos[:changed].to(data.device)
            photos[:changed] = defend(
                data, defender, before, index[:changed], network, purpose, examples=examples, learned=learned
            ).cpu()
        out[start : start + len(index)] = photos.numpy()
    return dataclasses.replace(
        examples,
        photos=Photos(out),
        labels=examples.labels[every],
        log_p=examples.log_p[every],
        identity=examples.identity[every],
    )
