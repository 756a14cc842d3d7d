"""Photos of an attacker's own people as a tool protects them, while a predictor is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from linkbench.api.base import Defender
from linkbench.api.data import Array
from linkbench.api.training_data import Examples, Photos, TrainingData
from linkbench.errors import InputError
from linkbench.harness.defend import defend, learn
from linkbench.models.batches import batch_size
from linkbench.registry.spec import nested_plugin


class Tool(NamedTuple):
    """A defender, and what `linkbench.harness.defend.learn` gave it."""

    defender: Defender
    learned: Any


def protected_by(
    data: TrainingData, examples: Examples, network: nn.Module | None, tool: Mapping[str, Any], file: Path, who: str
) -> Examples:
    """The examples after one tool, the value of a nested field; as they are after `none`.

    network, file: as below; who: the recipe, which also names the random numbers. Raises InputError where the tool must
    see a predictor and the network is not trained yet.
    """
    if tool["use"] == "none":
        return examples
    defender: Defender = nested_plugin(tool, "defender")
    if "predictor" in defender.needs and not data.started:
        raise InputError(
            f"{who}: the defender {tool['use']!r} must see a trained network to protect photos; give the model a "
            f"'start'"
        )
    assert network is not None
    learned = learn(data, defender, network, who)
    return protected_examples(data, examples, network, [Tool(defender, learned)], file, who)


def protected_examples(
    data: TrainingData,
    examples: Examples,
    network: nn.Module,
    tools: Sequence[Tool],
    file: Path,
    purpose: str,
    also: Array | None = None,
) -> Examples:
    """The examples once for each tool, protected by it, their photos held as float32 in a file that must outlive them.

    network: the predictor that tools see; purpose: names the random numbers; also: int64 [m], examples that follow once
    more with their photos as they were.
    """
    count = len(examples)
    every = np.concatenate([*[np.arange(count)] * len(tools), np.arange(0) if also is None else also])
    if not len(every):
        return examples
    edge = examples.photos.size
    out = np.memmap(file, np.float32, "w+", shape=(len(every), 3, edge, edge))
    step = max(1, batch_size(edge, data.device) // 4)
    for number, (defender, learned) in enumerate(tools):
        named = f"{purpose} {number}" if number else purpose
        for start in range(number * count, (number + 1) * count, step):
            place = slice(start, min(start + step, (number + 1) * count))
            before = examples.photos.batch(every[place]).to(data.device)
            changed = defend(data, defender, before, every[place], network, named, examples=examples, learned=learned)
            out[place] = changed.cpu().numpy()
    for start in range(len(tools) * count, len(every), step):
        out[start : start + step] = examples.photos.batch(every[start : start + step]).numpy()
    return dataclasses.replace(
        examples,
        photos=Photos(out),
        labels=examples.labels[every],
        log_p=examples.log_p[every],
        identity=examples.identity[every],
    )
