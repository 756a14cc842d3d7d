"""Who proposes: the plugins of a stage, in this process where all are linkbench's own, else in one of their own.

A stage is cut in two. Its *proposer*, a class made from a `Task` that holds what plugins may know and nothing else,
calls them and returns what they say. The stage, on this side, checks that, measures it, and writes. Which process the
proposer is in makes no difference to either.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from linkbench.api.data import Array, Artefact, Stream
from linkbench.api.progress import note
from linkbench.boundary import messages
from linkbench.boundary.messages import Message, Parcel
from linkbench.boundary.process import Answers, Process, Wanted, warm
from linkbench.boundary.sandbox import MEANS
from linkbench.harness.redraw import source_of
from linkbench.plan.task import Task
from linkbench.registry.foreign import Foreign, foreign, readable
from linkbench.registry.spec import Spec
from linkbench.store import tensorfile

BLOCK = 1 << 24
"""Bytes of photos that are copied at once."""


class Shown(NamedTuple):
    """Photos [N, 3, h, w] of which a proposer may see the rows int64 [n], and the others are black to it."""

    array: Array
    rows: Array


class Proposer(Protocol):
    """A proposer, wherever it is."""

    foreign: bool
    """Whether code that is not linkbench's own proposes."""

    def call(self, name: str, given: Parcel, most: int = ...) -> Parcel:
        """What a method says of what it is given; most: bytes that its arrays may have. Raises what went wrong."""

    def each(self, name: str, given: Iterable[Parcel], most: int = ...) -> Iterator[Parcel]:
        """What a method says of each; it may be at work on the next before the last one is used."""


class Here:
    """A proposer in this process."""

    foreign = False

    def __init__(self, made: Any) -> None:
        self.made = made

    def call(self, name: str, given: Parcel, most: int = messages.MOST) -> Parcel:
        answer: Parcel = getattr(self.made, name)(given)
        return answer

    def each(self, name: str, given: Iterable[Parcel], most: int = messages.MOST) -> Iterator[Parcel]:
        return (self.call(name, one) for one in given)


class _There:
    foreign = True

    def __init__(self, process: Process, answers: Answers) -> None:
        self.process, self.answers = process, answers

    def _send(self, name: str, given: Parcel) -> None:
        arrays = {key: messages.plain(array) for key, array in given.arrays.items()}
        self.process.send(Message(name, given.meta, arrays))

    def call(self, name: str, given: Parcel, most: int = messages.MOST) -> Parcel:
        return self.process.call(name, given, self.answers, most)

    def each(self, name: str, given: Iterable[Parcel], most: int = messages.MOST) -> Iterator[Parcel]:
        waiting = iter(given)
        first = next(waiting, None)
        if first is None:
            return
        self._send(name, first)
        for one in waiting:
            answer = self.process.receive(self.answers, most)
            self._send(name, one)  # it works on this while the answer is used
            yield answer
        yield self.process.receive(self.answers, most)


@contextlib.contextmanager
def proposing(
    task: Task, proposer: str, who: str, answers: Mapping[str, Callable[[Parcel], Parcel]] | None = None
) -> Iterator[Proposer]:
    """A proposer, "module:Class", made from a task: in this process, or in a fresh one that ends with the context.

    Arrays of the task's inputs may be `Shown`. who: the plugins, as messages name them; answers: what the proposer may
    ask this side, by name. Raises PluginError, InputError and the like for what goes wrong in the making.
    """
    answers = answers or {}
    others = _foreign(task) if hasattr(os, "fork") else Foreign([], [])
    if not others:
        known = (proposer, task.whole)
        made = _LAST.get(known)
        _LAST.clear()
        if made is None:
            module, _, name = proposer.partition(":")
            given = task._replace(inputs={key: _resolved(each) for key, each in task.inputs.items()})
            made = getattr(importlib.import_module(module), name)(given, lambda name, asked: answers[name](asked))
        yield Here(made)
        if task.whole:
            _LAST[known] = made
        return
    may_read, may_list = readable(_specs(task), others)
    torch = sys.modules.get("torch")
    preload = ["linkbench.harness.proposals", proposer.partition(":")[0]] + (_NETWORKS if torch is not None else [])
    with Process(Wanted(who, preload, may_read, may_list)) as process:
        inputs = {key: _written(each, Path(process.scratch), key) for key, each in task.inputs.items()}
        order = {
            "prepare": [
                ["linkbench.registry.registry:only", [list(each) for each in others.registrations]],
                *([] if torch is None else [[f"{__name__}:compute_on", torch.get_num_threads()]]),
            ],
            "run": f"{__name__}:remade",
            "task": {
                "proposer": proposer,
                "inputs": inputs,
                "specs": {role: list(spec) for role, spec in task.specs.items()},
                "settings": task.settings,
                "seed": task.seed,
                "device": task.device,
            },
        }  # fmt: skip
        there = _There(process, answers)
        for means in there.call("open", Parcel({}, order)).meta.get("missing", ()):
            if means in MEANS and means not in _SAID:
                _SAID.add(means)
                note(f"runs without {means}, which this system does not have: {MEANS[means]}")
        yield there


_LAST: dict[tuple[str, str], Any] = {}
"""The proposer of the last part of a stage in this process, with what it has learned: the next part is likely to be of
the same stage."""

_SAID: set[str] = set()
"""Means of the boundary that are missing and were said to be."""

_NETWORKS = ["torch", "linkbench.harness.defend", "linkbench.models.predictor", "linkbench.api.knowledge"]
"""What nearly every proposer with networks imports."""


def expect(tasks: Iterable[Iterable[Spec]], networks: bool) -> None:
    """Get ready for the processes of plugins, where any of these tasks will want one; networks: whether some compute
    with torch."""
    if hasattr(os, "fork") and any(foreign(specs) for specs in tasks):
        warm(["linkbench.harness.proposals", *(_NETWORKS if networks else [])])


def compute_on(threads: int) -> None:
    """In the process of plugins: on how many threads torch computes."""
    # by name: that a stage may be in such a process does not make torch decide its numbers
    importlib.import_module("torch").set_num_threads(threads)


def remade(task: dict[str, Any], ask: Callable[[str, Parcel], Parcel]) -> Any:
    """In the process of plugins: the proposer from what was written down of its task."""
    module, _, name = task["proposer"].partition(":")
    if not module.startswith("linkbench."):
        raise ValueError(f"{module} is not linkbench's")
    given = Task(
        {key: tensorfile.read(Path(path)) for key, path in task["inputs"].items()},
        {role: Spec(*spec) for role, spec in task["specs"].items()},
        task["settings"],
        task["seed"],
        task["device"],
    )
    return getattr(importlib.import_module(module), name)(given, ask)


def network_specs(trained: Artefact) -> list[Spec]:
    """The plugins that a trained predictor runs with: its architecture and the recipes that are its filters."""
    built = trained.meta["architecture"]
    return [
        Spec("architecture", built["name"], built["params"], built["name"]),
        *(Spec("recipe", each["recipe"], each["params"], each["recipe"]) for each in trained.meta.get("filters", [])),
    ]


def network_only(trained: Artefact) -> Artefact:
    """A trained predictor without what was seen of the test photos while it was trained."""
    arrays = {name: array for name, array in trained.arrays.items() if not name.startswith("watched")}
    return Artefact(arrays, {name: value for name, value in trained.meta.items() if name != "report"})


def _specs(task: Task) -> list[Spec]:
    inside = [spec for each in task.inputs.values() if "architecture" in each.meta for spec in network_specs(each)]
    drawn = [spec for each in task.inputs.values() if (spec := source_of(each)) is not None]
    return [*task.specs.values(), *inside, *drawn]


def _foreign(task: Task) -> Foreign:
    return foreign(_specs(task))


def _resolved(artefact: Artefact) -> Artefact:
    arrays = {name: array.array if isinstance(array, Shown) else array for name, array in artefact.arrays.items()}
    return Artefact(arrays, artefact.meta)


def _written(artefact: Artefact, folder: Path, name: str) -> str:
    """Write an input where the plugin's process reads it."""
    arrays = {key: _holed(array) if isinstance(array, Shown) else array for key, array in artefact.arrays.items()}
    path = folder / f"{name}.safetensors"
    tensorfile.write(path, Artefact(arrays, artefact.meta))
    return str(path)


def _holed(shown: Shown) -> Stream:
    """The photos, those that are not shown black."""
    photos = shown.array
    seen = np.zeros(len(photos), dtype=bool)
    seen[shown.rows] = True
    step = max(1, BLOCK // max(1, photos.nbytes // max(1, len(photos))))

    def blocks() -> Iterator[Array]:
        for start in range(0, len(photos), step):
            part = np.array(photos[start : start + step])
            part[~seen[start : start + step]] = 0
            yield part

    return Stream(photos.shape, photos.dtype, blocks())
