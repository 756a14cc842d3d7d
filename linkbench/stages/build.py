"""Genomes and cohorts as their sources build them, wherever the code of the source is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from linkbench.api.base import CohortSource, GenomeSource
from linkbench.api.data import Array, Artefact, Cohort, Genomes, Stream, check_genomes, pack, unpack
from linkbench.api.schema import Schema
from linkbench.boundary.messages import BadMessageError, Parcel, checked
from linkbench.errors import PluginError
from linkbench.harness.proposals import Proposer, proposing
from linkbench.plan.task import Task
from linkbench.registry.spec import Spec

BLOCK = 1 << 24
"""Bytes of photos that are handed over at once, of cohorts that hold theirs."""


class BuildingGenomes:
    """The proposer of a table of genomes."""

    def __init__(self, task: Task, ask: Any) -> None:
        self.source: GenomeSource = task.specs["genomes"].plugin()

    def build(self, given: Parcel) -> Parcel:
        """log_p float64 [M, V], ids uint8 [M, L], ancestry int64 [M] or none; meta: schema. given: meta seed."""
        built = self.source.build(given.meta["seed"])
        arrays = {"log_p": np.asarray(built.log_p), "ids": pack(built.ids)}
        if built.ancestry is not None:
            arrays["ancestry"] = np.asarray(built.ancestry)
        return Parcel(arrays, {"schema": built.schema.to_json()})


class BuildingCohort:
    """The proposer of a cohort. inputs: genomes, where it is paired with some."""

    def __init__(self, task: Task, ask: Any) -> None:
        self.source: CohortSource = task.specs["cohort"].plugin()
        self.genomes = Genomes.of(task.inputs["genomes"]) if "genomes" in task.inputs else None
        self.waiting: Iterator[Array] = iter(())

    def made(self, seed: int) -> Cohort:
        """The cohort as the source gives it."""
        assert self.genomes is not None
        return self.source.build(self.genomes, seed)

    def build(self, given: Parcel) -> Parcel:
        """All arrays of the cohort but its photos; meta: schema, shape of the photos or null. given: seed."""
        built = self.made(given.meta["seed"])
        if built.photos is None:
            shape = None
        elif isinstance(built.photos, Stream):
            shape, self.waiting = list(built.photos.shape), iter(built.photos.blocks)
        else:
            shape, self.waiting = list(built.photos.shape), _slices(np.asarray(built.photos))
        arrays = {name: built.artefact().arrays[name] for name in built.artefact().arrays if name != "photos"}
        return Parcel({name: np.asarray(array) for name, array in arrays.items()}, {
            "schema": built.schema.to_json(), "photos": shape,
        })  # fmt: skip

    def photos(self, given: Parcel) -> Parcel:
        """The next photos uint8 [b, 3, h, w]; none when all have been given."""
        block = next(self.waiting, None)
        return Parcel({} if block is None else {"photos": np.asarray(block)}, {})


def _slices(photos: Array) -> Iterator[Array]:
    step = max(1, BLOCK // max(1, photos.nbytes // max(1, len(photos))))
    return (photos[start : start + step] for start in range(0, len(photos), step))


def built_genomes(spec: Spec, seed: int) -> Genomes:
    """The genomes of a source, checked. Raises InputError naming what cannot be."""
    who = f"genomes {spec.label}"
    with proposing(Task({}, {"genomes": spec}, {}, 0, "cpu"), f"{__name__}:BuildingGenomes", who) as there:
        answer = there.call("build", Parcel({}, {"seed": seed}))
    schema = _schema(answer, who)
    log_p = checked(answer.arrays, "log_p", "float64", (None, schema.width), finite=False)
    ids = checked(answer.arrays, "ids", "uint8", (len(log_p), None))
    ancestry = checked(answer.arrays, "ancestry", "int64", (len(log_p),)) if "ancestry" in answer.arrays else None
    return check_genomes(Genomes(schema, unpack(ids), log_p, ancestry), who)


def built_cohort(
    spec: Spec, genomes: Artefact | None, seed: int, proposer: str = "linkbench.stages.build:BuildingCohort"
) -> Cohort:
    """The cohort of a source, its arrays of the right types and shapes; photos come as a stream, which ends whatever
    process they come from. Raises PluginError for other arrays."""
    who = f"cohort {spec.label}"
    told = Task({} if genomes is None else {"genomes": genomes}, {"cohort": spec}, {}, 0, "cpu")
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(proposing(told, proposer, who))
        answer = there.call("build", Parcel({}, {"seed": seed}))
        try:
            cohort, shape = _cohort(answer, who)
        except BadMessageError as error:
            raise PluginError(f"{who}: {error}") from None
        if shape is None:
            return cohort
        blocks = _blocks(there, stack.pop_all(), shape, who)
        next(blocks)  # from now on the process ends with the stream
        return replace(cohort, photos=Stream(shape, np.dtype(np.uint8), blocks))


def _cohort(answer: Parcel, who: str) -> tuple[Cohort, tuple[int, ...] | None]:
    """The cohort without its photos, and their shape."""
    schema, shape = _schema(answer, who), answer.meta.get("photos")
    identity = checked(answer.arrays, "identity", "int64", (None,))
    count = len(identity)
    predictions = None
    if "predictions" in answer.arrays:
        predictions = checked(answer.arrays, "predictions", "float64", (count, schema.width), finite=False)
    if shape is not None and not (
        isinstance(shape, list) and len(shape) == 4 and all(type(extent) is int and extent > 0 for extent in shape[1:])
        and shape[:2] == [count, 3]
    ):  # fmt: skip
        raise PluginError(f"{who} announces photos of shape {str(shape)[:60]}, expected [{count}, 3, height, width]")
    cohort = Cohort(
        schema,
        unpack(checked(answer.arrays, "ids", "uint8", (count, None))),
        identity,
        checked(answer.arrays, "labels", "int64", (count, len(schema))),
        checked(answer.arrays, "truth", "int64", (count,)),
        checked(answer.arrays, "split", "int64", (count,)),
        None,
        predictions,
    )
    return cohort, None if shape is None else tuple(shape)


def _blocks(there: Proposer, stack: contextlib.ExitStack, shape: tuple[int, ...], who: str) -> Iterator[Array]:
    """Nothing first, then the photos."""
    with stack:
        yield np.empty((0, *shape[1:]), np.uint8)
        left = shape[0]
        while True:
            answer = there.call("photos", Parcel({}, {}), most=left * math.prod(shape[1:]))
            if not answer.arrays:
                break
            block = checked(answer.arrays, "photos", "uint8", (None, *shape[1:]))
            left -= len(block)
            yield block
        if left:
            raise PluginError(f"{who} gave {shape[0] - left} photos, it had announced {shape[0]}")


def _schema(answer: Parcel, who: str) -> Schema:
    try:
        return Schema.from_json(answer.meta["schema"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PluginError(f"{who} has no schema of phenotypes: {error}") from None
