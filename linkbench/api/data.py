"""The values that stages hand to each other: named arrays with a little metadata.

Every value can be turned into plain arrays and back, so that the store needs to know none of them.
Photos may be streamed: an array is then a `Stream`, produced block by block and never held whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from linkbench.api.schema import Schema
from linkbench.errors import InputError

Array: TypeAlias = npt.NDArray[Any]
"""An array of numpy; docstrings say its type and shape."""

TRAIN, VALIDATION, TEST, GALLERY = 0, 1, 2, 3
"""Values of `Cohort.split`: trained on, used to stop and to calibrate, linked (in identification: the probes), and, in
identification alone, photos of the same people that the attacker has with their names."""

MISSING = -1
"""A label that nobody knows."""


class Stream(NamedTuple):
    """An array given block by block along its first axis; `blocks` can be consumed once.

    after: the name of another stream of the artefact that must have been consumed before this one.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterable[Array]
    after: str | None = None


class Artefact(NamedTuple):
    """What a stage leaves behind: arrays by name, and small JSON metadata."""

    arrays: dict[str, Array | Stream]
    meta: dict[str, Any]

    def array(self, name: str) -> Array:
        """The array, held or memory-mapped; streams have no random access until they are stored."""
        value = self.arrays[name]
        if isinstance(value, Stream):
            raise TypeError(f"array {name!r} is a stream; store the artefact first")
        return value


@dataclass(frozen=True, eq=False)
class Genomes:
    """A table of log P(variant | genome).

    log_p: float64 [M, V], natural logarithm, finite; ids: [M] bytes strings, unique; ancestry: int64 [M], equal
    numbers for people of one super-population, or None where it is not known.
    """

    schema: Schema
    ids: Array
    log_p: Array
    ancestry: Array | None = None

    def __len__(self) -> int:
        return len(self.log_p)

    def artefact(self) -> Artefact:
        meta = {"schema": self.schema.to_json(), "content": self.content()}
        known = {} if self.ancestry is None else {"ancestry": self.ancestry}
        return Artefact({"log_p": self.log_p, "ids": pack(self.ids), **known}, meta)

    def content(self) -> str:
        """Digest of schema, ids and table, the same on machines whose logarithms differ in the last bits."""
        digest = hashlib.sha256(json.dumps(self.schema.to_json()).encode())
        digest.update(pack(self.ids).tobytes())
        for start in range(0, len(self), 1 << 16):
            digest.update(np.rint(self.log_p[start : start + (1 << 16)] * 1e6).astype("<i8").tobytes())
        return digest.hexdigest()[:32]

    @classmethod
    def of(cls, artefact: Artefact) -> Genomes:
        ancestry = artefact.array("ancestry") if "ancestry" in artefact.arrays else None
        schema = Schema.from_json(artefact.meta["schema"])
        return cls(schema, unpack(artefact.array("ids")), artefact.array("log_p"), ancestry)


@dataclass(frozen=True, eq=False)
class Cohort:
    """People in photos.

    ids: [N] bytes strings, one per photo; identity: int64 [N], who is in the photo; labels: int64 [N, P] variant
    of each phenotype or MISSING; truth: int64 [N], row of the true genome; split: int64 [N] of TRAIN, VALIDATION,
    TEST, GALLERY, tested people apart from all others; photos: uint8 [N, 3, H, W] or None; predictions:
    float64 [N, V], published probabilities of the variants, or None.
    """

    schema: Schema
    ids: Array
    identity: Array
    labels: Array
    truth: Array
    split: Array
    photos: Array | Stream | None = None
    predictions: Array | None = None

    def __len__(self) -> int:
        return len(self.identity)

    def artefact(self) -> Artefact:
        arrays: dict[str, Array | Stream] = {
            "ids": pack(self.ids),
            "identity": self.identity,
            "labels": self.labels,
            "truth": self.truth,
            "split": self.split,
        }
        if self.photos is not None:
            arrays["photos"] = self.photos
        if self.predictions is not None:
            arrays["predictions"] = self.predictions
        return Artefact(arrays, {"schema": self.schema.to_json()})

    @classmethod
    def of(cls, artefact: Artefact) -> Cohort:
        optional = {name: artefact.array(name) for name in ("photos", "predictions") if name in artefact.arrays}
        return cls(
            Schema.from_json(artefact.meta["schema"]),
            unpack(artefact.array("ids")),
            *(artefact.array(name) for name in ("identity", "labels", "truth", "split")),
            **optional,
        )


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an attacker is shown about photos; what it did not ask for is None.

    size: n, the number of photos; variants: int64 [n, P], most likely predicted variant (ties: the first);
    probabilities: float64 [n, V], predicted, each phenotype sums to 1; truth: int64 [n, P], true variants or MISSING;
    ancestry: int64 [n], that of the true genome, where genomes come with it.
    Of photos to learn from also person: int64 [n], who is in the photo, in random order (the first N are N people drawn
    at random); protected: bool [n], whether the defender changed it. Of photos to be linked person numbers the
    groups that are scored, where `Attacker.pools` asks for such, and protected is given where `Attacker.leaks`.
    """

    schema: Schema
    size: int
    variants: Array | None = None
    probabilities: Array | None = None
    truth: Array | None = None
    person: Array | None = None
    protected: Array | None = None
    ancestry: Array | None = None

    def __len__(self) -> int:
        return self.size

    def rows(self, index: Array) -> Evidence:
        """The evidence about some of the photos, int64 [n]."""
        every = (self.variants, self.probabilities, self.truth, self.person, self.protected, self.ancestry)
        parts = (None if part is None else part[index] for part in every)
        return Evidence(self.schema, len(index), *parts)


def most_likely(probabilities: Array, schema: Schema) -> Array:
    """int64 [n, P], the variant of each phenotype with the largest value in float [n, V]."""
    return np.stack([probabilities[:, columns].argmax(axis=1) for columns in schema.slices.values()], axis=1)


def one_hot(variants: Array, schema: Schema) -> Array:
    """float64 [n, V] of zeros and ones from int [n, P]; MISSING variants give zeros."""
    out = np.zeros((len(variants), schema.width))
    for column, span in enumerate(schema.slices.values()):
        known = np.flatnonzero(variants[:, column] != MISSING)
        out[known, span.start + variants[known, column]] = 1.0
    return out


def strings(values: Sequence[str] | Iterator[str]) -> Array:
    """Names as an array of UTF-8 bytes strings."""
    return np.array([value.encode() for value in values], dtype=np.bytes_)


def pack(values: Array) -> Array:
    """Bytes strings [N] as uint8 [N, L], the form in which they are stored."""
    width = max(values.dtype.itemsize, 1)
    return np.ascontiguousarray(values.astype(f"S{width}")).view(np.uint8).reshape(len(values), width)


def unpack(values: Array) -> Array:
    """The reverse of `pack`."""
    return np.ascontiguousarray(values).view(f"S{values.shape[1]}").reshape(len(values))


def check_genomes(genomes: Genomes, source: str) -> Genomes:
    """Refuse NaN, probabilities outside (0, 1] and ids given twice. Raises InputError naming the row and the column."""
    bad = ~np.isfinite(genomes.log_p) | (genomes.log_p > 1e-9)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        value = np.exp(genomes.log_p[row, column])
        raise InputError(
            f"{source}: genome {genomes.ids[row].decode()!r} has P({genomes.schema.columns[column]}) = {value:g}. "
            f"Every probability must be a number above 0 and at most 1; floor zeros at a small value such as 1e-7"
        )
    if len(np.unique(genomes.ids)) != len(genomes.ids):
        ordered = np.sort(genomes.ids)
        twice = ordered[1:][ordered[1:] == ordered[:-1]][0]
        raise InputError(f"{source}: genome id {twice.decode()!r} stands there twice; ids must be unique")
    return genomes


def check_cohort(cohort: Cohort, genomes: Genomes, source: str) -> Cohort:
    """Refuse labels, true genomes and shapes that cannot be. Raises InputError naming the photo."""
    for phenotype, column in zip(cohort.schema, cohort.labels.T, strict=True):
        bad = np.flatnonzero((column < MISSING) | (column >= len(cohort.schema[phenotype])))
        if len(bad):
            raise InputError(
                f"{source}: photo {cohort.ids[bad[0]].decode()!r} has {phenotype} variant {column[bad[0]]}, "
                f"but there are only {len(cohort.schema[phenotype])} variants, counted from 0 (-1: unknown)"
            )
    bad = np.flatnonzero((cohort.truth < 0) | (cohort.truth >= len(genomes)))
    if len(bad):
        raise InputError(
            f"{source}: photo {cohort.ids[bad[0]].decode()!r} points to genome number {cohort.truth[bad[0]]}, "
            f"but there are {len(genomes)} genomes, numbered from 0"
        )
    if cohort.schema != genomes.schema:
        raise InputError(
            f"{source}: the photos are labelled with {cohort.schema!r}, the genomes with {genomes.schema!r}. "
            f"Choose genomes of the same schema (parameter 'schema' of the genomes, where it has one)"
        )
    return cohort
