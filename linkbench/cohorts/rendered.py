"""Procedural faces whose true phenotypes are known, each drawn from a genome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from linkbench.api.base import CohortSource
from linkbench.api.data import TRAIN, Array, Cohort, Genomes, Stream, check_cohort, strings
from linkbench.api.fields import Fraction01
from linkbench.api.schema import PAPER
from linkbench.api.seeds import derive, generator
from linkbench.cohorts.pairing import need_genomes, need_paper_schema
from linkbench.cohorts.sampled import draw

_BLOCK = 64  # photos handed over at a time


class Rendered(CohortSource):
    """Rendered faces of people drawn from the genomes; the paper's confounders are parameters."""

    imaginary: ClassVar[bool] = True
    redraws: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("pillow",)

    count: int = Field(default=456, ge=1, le=1_000_000, description="how many photos")
    per_identity: int = Field(default=1, ge=1, le=1000, description="photos of each person; count is a multiple of it")
    size: int = Field(default=64, ge=32, le=256, description="width and height of the photos, pixels")
    dyed_hair: Fraction01 = Field(default=0.0, description="share of people who show another hair colour")
    lenses: Fraction01 = Field(default=0.0, description="share of people who wear coloured lenses")
    coloured_light: Fraction01 = Field(default=0.0, description="strength of a random colour of each photo's light")
    low_resolution: Fraction01 = Field(default=0.0, description="share of photos taken at a half or third resolution")
    jpeg: Fraction01 = Field(default=0.0, description="share of photos with strong JPEG compression")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"count": 6, "per_identity": 2, "size": 32}

    @model_validator(mode="after")
    def _whole_people(self) -> Rendered:
        if self.count % self.per_identity:
            raise ValueError(f"count must be a multiple of per_identity, found {self.count} and {self.per_identity}")
        return self

    def build(self, genomes: Genomes, seed: int) -> Cohort:
        """count / per_identity people with genomes of their own; photos uint8 [count, 3, size, size], a stream.

        Variants follow P(variant | genome), normalised, each phenotype by itself. Ids are p0001-0: person and photo.
        Raises InputError for genomes of another schema than the paper's, or too few of them.
        """
        need_paper_schema(genomes, "rendered")
        people = self.count // self.per_identity
        need_genomes(people, genomes, "rendered", "Lower 'count', raise 'per_identity'")
        random = generator(seed, "rendered")
        chosen = random.choice(len(genomes), people, replace=False).astype(np.int64)
        labels = np.stack(
            [draw(np.exp(genomes.log_p[chosen, span]), random.random(people)) for span in PAPER.slices.values()], axis=1
        ).astype(np.int64)
        identity = np.repeat(np.arange(people, dtype=np.int64), self.per_identity)
        number = np.tile(np.arange(self.per_identity, dtype=np.int64), people)
        ids = (f"p{who + 1:04d}-{which}" for who, which in zip(identity.tolist(), number.tolist(), strict=True))
        shape = (self.count, 3, self.size, self.size)
        cohort = Cohort(
            schema=PAPER,
            ids=strings(list(ids)),
            identity=identity,
            labels=labels[identity],
            truth=chosen[identity],
            split=np.full(self.count, TRAIN, dtype=np.int64),
            photos=Stream(shape, np.dtype(np.uint8), self._blocks(labels[identity], identity, number, seed)),
        )
        return check_cohort(cohort, genomes, "cohort 'rendered'")

    def redraw(self, rows: Array, variants: Array, seed: int) -> Array:
        """The same person, pose, light and background with other phenotypes; where sex changes so does the shape."""
        drawn = self._drawn(variants, rows // self.per_identity, rows % self.per_identity, seed)
        return np.concatenate([*drawn, np.empty((0, 3, self.size, self.size), dtype=np.uint8)])

    def _blocks(self, labels: Array, identity: Array, number: Array, seed: int) -> Iterator[Array]:
        from linkbench.api.progress import advance

        for start in range(0, self.count, _BLOCK):
            part = slice(start, start + _BLOCK)
            yield np.concatenate([*self._drawn(labels[part], identity[part], number[part], seed)])
            advance(min(start + _BLOCK, self.count), self.count)

    def _drawn(self, labels: Array, identity: Array, number: Array, seed: int) -> Iterator[Array]:
        """Photos of people with these variants, int64 [n, 4], identities and numbers, a few at a time."""
        import torch

        from linkbench.cohorts.faces import Confounders, render_batches

        names: tuple[str, ...] = Confounders._fields
        hidden = Confounders(**{name: getattr(self, name) for name in names})
        rows: list[Any] = [torch.from_numpy(part) for part in (labels, identity, number)]
        for batch in render_batches(*rows, seed=derive(seed, "faces"), size=self.size, confounders=hidden):
            yield batch.numpy()
