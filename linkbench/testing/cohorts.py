"""What linkbench expects of a source of cohorts; they are tried with the genomes of the paper."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.base import CohortSource
from linkbench.api.data import TEST, TRAIN, VALIDATION, Array, Cohort, Genomes, Stream, check_cohort
from linkbench.execution.stdout import captured
from linkbench.registry.registry import registry
from linkbench.testing.check import Subject
from linkbench.testing.common import silent


class Trial(NamedTuple):
    """One use: the cohort, its photos uint8 [N, 3, h, w] or None, and what was printed."""

    people: Any
    photos: Array | None
    said: str


@cache
def _genomes() -> Genomes:
    table: Genomes = registry().load("genomes", "paper-tables")().build(0)
    table.log_p.flags.writeable = False
    return table


def _use(subject: Subject) -> Trial:
    plugin: CohortSource = subject.plugin()
    with captured() as printed:
        people = plugin.build(_genomes(), 3)
        photos = getattr(people, "photos", None)
        if isinstance(photos, Stream):
            blocks = np.concatenate(list(photos.blocks))
            wanted = (tuple(photos.shape), np.dtype(photos.dtype))
            assert (blocks.shape, blocks.dtype) == wanted, (
                f"the stream of photos announces {wanted}, it gives {blocks.shape}"
            )
            photos = blocks
    return Trial(people, photos, printed.text)


def _people(subject: Subject) -> Cohort:
    people = subject.once(_use).people
    assert isinstance(people, Cohort), f"build must return a Cohort, it returned {type(people).__name__}"
    return people


def the_cohort_is_sound(subject: Subject) -> None:
    """Arrays of one length, labels and true genomes that exist, the schema of the genomes."""
    people = _people(subject)
    count = len(people)
    assert count, "there is nobody in it"
    shapes = {"ids": (count,), "labels": (count, len(people.schema)), "truth": (count,), "split": (count,)}
    for name, shape in shapes.items():
        found = getattr(people, name).shape
        assert found == shape, f"{name} has shape {found}, expected {shape}"
    for name in ("identity", "labels", "truth", "split"):
        found = getattr(people, name).dtype
        assert found == np.int64, f"{name} must be int64, it is {found}"
    assert people.ids.dtype.kind == "S", f"ids must be bytes strings, they are {people.ids.dtype}"
    check_cohort(people, _genomes(), "it")


def photos_are_as_announced(subject: Subject) -> None:
    """`has_photos`: uint8 [N, 3, h, w], square; otherwise published probabilities [N, V]."""
    people, photos = _people(subject), subject.once(_use).photos
    if not subject.cls.has_photos:
        assert people.predictions is not None, "has_photos is False, so it must bring predictions; it brings none"
        shape = (len(people), people.schema.width)
        assert people.predictions.shape == shape, f"predictions have shape {people.predictions.shape}, expected {shape}"
        assert photos is None, "has_photos is False, but there are photos"
        return
    assert photos is not None, "has_photos is True, but there are no photos"
    assert photos.dtype == np.uint8, f"photos must be uint8, they are {photos.dtype}"
    edge = photos.shape[-1]
    wanted = (len(people), 3, edge, edge)
    assert photos.shape == wanted, f"photos have shape {photos.shape}, expected {wanted}: square, one for each id"


def people_are_split_whole(subject: Subject) -> None:
    """`split` holds known values, and nobody is in two parts."""
    people = _people(subject)
    wrong = set(np.unique(people.split).tolist()) - {TRAIN, VALIDATION, TEST}
    assert not wrong, f"split holds {sorted(wrong)}; known: {TRAIN} (train), {VALIDATION} (validation), {TEST} (test)"
    pairs = np.unique(np.stack([people.identity, people.split]), axis=1)
    assert pairs.shape[1] == len(np.unique(people.identity)), "photos of one person are in two parts of the split"


def same_seed_same_bytes(subject: Subject) -> None:
    """Built twice, whatever the random generators hold."""
    one, state = subject.once(_use), np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        two = _use(subject)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    pairs = {
        name: (getattr(one.people, name), getattr(two.people, name)) for name in ("ids", "identity", "labels", "truth")
    }
    for name, (left, right) in {**pairs, "photos": (one.photos, two.photos)}.items():
        same = left is right is None or np.array_equal(left, right)
        assert same, f"{name} differ between two builds with the same seed"


CHECKS = (
    the_cohort_is_sound,
    photos_are_as_announced,
    people_are_split_whole,
    same_seed_same_bytes,
    silent(_use),
)
