"""The stages that need no photos: genomes, cohort and published predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import (
    TEST,
    TRAIN,
    VALIDATION,
    Artefact,
    Cohort,
    Genomes,
    check_cohort,
)
from linkbench.errors import InputError
from linkbench.harness import redraw
from linkbench.plan.task import Task
from linkbench.stages.build import built_cohort, built_genomes


def genomes(task: Task) -> Artefact:
    """The table of log P(variant | genome), checked."""
    return built_genomes(task.specs["genomes"], seeds.derive(task.seed, "genomes")).artefact()


def cohort(task: Task) -> Artefact:
    """The cohort, checked, its people split into training, validation and test."""
    spec = task.specs["cohort"]
    table = Genomes.of(task.inputs["genomes"])
    seed = seeds.derive(task.seed, "cohort")
    built = built_cohort(spec, task.inputs["genomes"], seed)
    check_cohort(built, table, f"cohort {spec.label}")
    if not len(built):
        raise InputError(f"cohort {spec.label} has no photos")
    if (built.split == TRAIN).all() and built.photos is not None:
        built = replace(built, split=split_people(built.identity, task.settings["split"], task.seed))
    artefact = built.artefact()
    return artefact._replace(meta={**artefact.meta, **redraw.offered(spec, seed)})


def split_people(
    identity: np.ndarray[Any, Any], parts: dict[str, float], seed: int, *, alone: bool = False
) -> np.ndarray[Any, Any]:
    """int64 [N] of TRAIN, VALIDATION, TEST: every photo of a person falls into the same part.

    alone: whether the test may be all there is. Raises InputError where a part that is needed stays empty.
    """
    people, who = np.unique(identity, return_inverse=True)
    order = seeds.generator(seed, "split").permutation(len(people))
    tested, checked = round(len(people) * parts["test"]), round(len(people) * parts["validation"])
    if not tested or (not alone and (not checked or tested + checked >= len(people))):
        raise InputError(
            f"{len(people)} people cannot be split into {tested} for the test, {checked} for validation and the rest "
            f"for training; bring more people or change 'split'"
        )
    part = np.full(len(people), TRAIN)
    part[order[:tested]] = TEST
    part[order[tested : tested + checked]] = VALIDATION
    return part[who]


def published(task: Task) -> Artefact:
    """The predictions that a cohort brings, for the photos to be linked and for those that attackers learn from."""
    people = Cohort.of(task.inputs["cohort"])
    assert people.predictions is not None
    everybody = np.arange(len(people))
    probabilities = np.asarray(people.predictions)
    return Artefact({"photo": everybody, "probabilities": probabilities}, {})
