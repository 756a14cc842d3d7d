"""Stages over photos, cut into parts that are carried out apart and joined to the very bytes of the whole.

A part is a range of the photos that a stage goes through, cut where its batches end, so that each batch is the same as
in the whole. Which parts there are follows from photos, device and plugins alone, never from who carries them out: what
one run has finished another finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import TEST, Array, Artefact, Stream
from linkbench.metrics.scores import ROWS
from linkbench.models.batches import batch_size
from linkbench.plan.builder import Step
from linkbench.plan.task import Part, Task
from linkbench.registry.foreign import foreign
from linkbench.stages.protect import batches
from linkbench.stages.rank import join as join_ranks
from linkbench.stages.rank import rounds_of

NETWORKS, PLAIN = 256, 4096
"""Photos of one part, about: of a stage that goes through networks many times for each photo, and of all others."""

ON_GPU = 8
"""So many times as many on a GPU."""


def _of_split(step: Step, inputs: Mapping[str, Artefact]) -> tuple[int, tuple[int, ...]]:
    """How many photos the stage goes through, and the shape of them all: those of one split of the cohort."""
    split = inputs["cohort"].array("split")
    wanted = int(step.settings.get("split", TEST))
    return int(np.count_nonzero(split == wanted)), inputs["cohort"].array("photos").shape


def _of_input(name: str) -> Callable[[Step, Mapping[str, Artefact]], tuple[int, tuple[int, ...]]]:
    """The same: all photos of an input."""

    def count(step: Step, inputs: Mapping[str, Artefact]) -> tuple[int, tuple[int, ...]]:
        shape = inputs[name].array("photos").shape
        return shape[0], shape

    return count


def _of_network(step: Step, inputs: Mapping[str, Artefact]) -> tuple[int, tuple[int, ...]]:
    return (_of_input("published") if "published" in step.inputs else _of_split)(step, inputs)


COUNTS = {
    "linkbench.stages.protect:protect": _of_split,
    "linkbench.stages.protect:publish": _of_input("protect"),
    "linkbench.stages.protect:quality": _of_split,
    "linkbench.stages.train:predict": _of_network,
}
"""The stages that can be cut batch by batch, with what they go through."""

READ = {"cohort", "protect", "published"}
"""Inputs that tell how many photos there are."""

RANK = "linkbench.stages.rank:rank"


class Cut(NamedTuple):
    """How a step is carried out in parts: none where it stays whole, and how often they are gone through.

    After each round its parts are joined; what they tell together is an input of the next one, `known`.
    """

    parts: list[Part]
    rounds: int = 1


WHOLE = Cut([])


def cut_of(step: Step, read: Callable[[str], Artefact | None], device: str) -> Cut:
    """The cut of a step. read: gives an input by its name, None if that is gone."""
    if step.run == RANK:
        return _cut_of_rank(step, read)
    if step.run not in COUNTS:
        return WHOLE
    inputs = {name: read(name) for name in step.inputs if name in READ}
    found = {name: artefact for name, artefact in inputs.items() if artefact is not None}
    if len(found) < len(inputs) or any("photos" not in found[name].arrays for name in found):
        return WHOLE  # the stage itself says what is wrong
    count, shape = COUNTS[step.run](step, found)
    return Cut(_parts(count, _size(step, shape, device)))


def _cut_of_rank(step: Step, read: Callable[[str], Artefact | None]) -> Cut:
    """A ranking is cut by rows of scores, of which there are as many as photos where probabilities are seen."""
    attacker: Attacker = step.specs["attacker"].plugin()
    if attacker.joint or "probabilities" not in attacker.sees:
        return WHOLE
    if attacker.learns_from() and foreign(step.specs.values()):
        return WHOLE  # it would learn anew in the process of each part
    predicted = read("predict")
    if predicted is None:
        return WHOLE
    parts = _parts(len(predicted.array("photo")), max(1, PLAIN // ROWS) * ROWS)
    genomes = read("genomes") if parts else None
    return WHOLE if genomes is None else Cut(parts, rounds_of(step.settings, len(genomes.array("log_p"))))


def _parts(count: int, size: int) -> list[Part]:
    return [Part(start, min(start + size, count)) for start in range(0, count, size)] if count >= 2 * size else []


def _size(step: Step, shape: tuple[int, ...], device: str) -> int:
    """Photos of one part: whole batches, at least one."""
    grain = _grain(step, shape, device)
    defender = step.specs.get("defender")
    slow = defender is not None and "predictor" in defender.plugin().needs
    wanted = (NETWORKS if slow else PLAIN) * (1 if device.startswith("cpu") else ON_GPU)
    return max(1, wanted // grain) * grain


def _grain(step: Step, shape: tuple[int, ...], device: str) -> int:
    if step.run == "linkbench.stages.train:predict":
        return batch_size(shape[-1], device)
    first = batches(1 << 20, shape, device)[0]
    return int(first.stop - first.start)


def join(task: Task, run: str, parts: Sequence[Artefact]) -> Artefact:
    """The artefact of the whole stage, or of a round of it; where it has rounds, with the inputs of the stage.

    Raises ValueError where parts tell different things of the whole.
    """
    return join_ranks(task, parts) if run == RANK else joined(parts)


def joined(parts: Sequence[Artefact]) -> Artefact:
    """The artefact of the whole stage: arrays one after the other, read as they are written.

    Raises ValueError where parts tell different things of the whole.
    """
    metas = [{name: value for name, value in part.meta.items() if name != "part"} for part in parts]
    if any(meta != metas[0] for meta in metas):
        raise ValueError("parts of a stage disagree on what belongs to the whole")
    return Artefact(
        {name: _one_after_the_other([part.array(name) for part in parts]) for name in parts[0].arrays}, metas[0]
    )


def _one_after_the_other(arrays: list[Array]) -> Stream:
    def blocks() -> Iterator[Array]:
        for array in arrays:
            step = max(1, (1 << 24) // max(1, array.nbytes // max(1, len(array))))
            for start in range(0, len(array), step):
                yield array[start : start + step]

    return Stream((sum(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype, blocks())


def marked(artefact: Artefact, part: Part, turn: int) -> Artefact:
    """What a stage left of a part in a round, told from everything else that may hold the same arrays."""
    meta: dict[str, Any] = {**artefact.meta, "part": [*part, turn]}
    return Artefact(artefact.arrays, meta)
