"""From photo files to a risk: the one way, for the command, the page and Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from linkbench.api.data import MISSING, Array, Evidence, most_likely
from linkbench.api.schema import Schema
from linkbench.errors import InputError
from linkbench.risk.curves import Curve, curves, demographics
from linkbench.risk.person import Ancestry, Pile, fitting, known_phenotypes, of_genotype, population
from linkbench.risk.reading import Reading, pool, read

if TYPE_CHECKING:
    from linkbench.api.data import Artefact
    from linkbench.genomes.genotype_files.reader import Genotypes

MOST_PHOTOS = 64
"""Photos of one person that are looked at together, at most."""


class Risk(NamedTuple):
    """What photos of one person give away.

    photos: the files; readings: one for each predictor; found: for each predictor, how far attackers find the genome;
    demographics: the same without photos, by the sex, None where that is not told; people: genomes of the pile; how:
    whose genome is looked for, in words.
    """

    photos: list[Path]
    readings: list[Reading]
    found: list[list[Curve]]
    demographics: Curve | None
    ancestry: str
    people: int
    how: str
    seed: int


def assess(
    photos: Sequence[Path],
    *,
    genotype: Genotypes | None = None,
    phenotypes: Mapping[str, str] | None = None,
    predictors: Sequence[str | Path] = (),
    ancestry: Ancestry = "ALL",
    people: int = 1_000_000,
    seed: int = 0,
    aligned: bool = False,
    device: str = "cpu",
) -> Risk:
    """The risk of photos of one person, the largest face of each, or each as it is where it is an aligned face.

    predictors: by default all that come with linkbench. Raises InputError, WeightsError.
    """
    if not 1 <= len(photos) <= MOST_PHOTOS:
        raise InputError(f"give 1 to {MOST_PHOTOS} photos of one person, found {len(photos)}")
    if ancestry not in get_args(Ancestry):
        raise InputError(f"there is no ancestry {ancestry!r}; there are: {', '.join(get_args(Ancestry))}")
    if not 100 <= people <= 10_000_000:
        raise InputError(f"the pile must hold 100 to 10,000,000 people, found {people:,}")
    files = _files(predictors)
    readings = [_reading(name, artefact, photos, seed, device, aligned=aligned) for name, artefact in files]
    schemas = {reading.schema for reading in readings}
    if len(schemas) > 1:
        raise InputError("the predictors read different phenotypes; ask for one kind at a time")
    schema = schemas.pop()
    known = known_phenotypes(phenotypes or {}, schema)
    pile = _pile(readings, known, genotype, ancestry, people, seed)
    return Risk(
        list(photos), readings, [curves(reading, pile) for reading in readings], demographics(pile),
        ancestry, len(pile.genomes), pile.how, seed,
    )  # fmt: skip


def _pile(
    readings: list[Reading], known: Array, genotype: Genotypes | None, ancestry: Ancestry, people: int, seed: int
) -> Pile:
    schema: Schema = readings[0].schema
    if genotype is not None:
        others = population(schema, ancestry, people - 1, seed)
        return of_genotype(others, genotype.dosages, known, genotype.sex.sex, genotype.path)
    read_off = pool(np.stack([reading.pooled for reading in readings]), schema)
    return fitting(population(schema, ancestry, people, seed), known, read_off, seed)


def _files(predictors: Sequence[str | Path]) -> list[tuple[str, Artefact]]:
    """The predictor files by name, those that come with linkbench if none is asked for."""
    from linkbench.models import predictor_files

    asked = [Path(name) for name in predictors or predictor_files.shipped()]
    return [(str(name), predictor_files.read(predictor_files.locate(name))) for name in asked]


def _reading(
    name: str, artefact: Artefact, photos: Sequence[Path], seed: int, device: str, *, aligned: bool
) -> Reading:
    from linkbench.models.predictor import check_predictor

    predictor = check_predictor(artefact, name).to(device)
    cut = np.stack([_face(photo, int(artefact.meta["size"]), aligned=aligned) for photo in photos])
    learned = _learned_from(artefact, predictor.schema)
    return read(name, artefact.meta["title"], predictor, cut, learned, device=device, seed=seed)


def _face(photo: Path, size: int, *, aligned: bool) -> Array:
    """An aligned face, uint8 [3, size, size]: the largest of the photo, or the whole photo where it is one already."""
    if aligned:
        from linkbench.cohorts.images import load_photo, shape_of

        width, height = shape_of(photo)
        if width != height:
            raise InputError(f"photo {photo}: it has {width} x {height} pixels; an aligned face is a square")
        return load_photo(photo, size)
    from linkbench import faces

    opened = faces.read(photo)
    found = faces.find(opened)
    if not found:
        raise InputError(
            f"photo {photo}: no face is found. Bring one in which the face is larger or seen from the front, or cut "
            f"the face out as a square and say --aligned"
        )
    pixels = faces.cut(opened, found[0].square, size)[0].mul(255).round().clamp(0, 255).byte().numpy()
    cut: Array = pixels
    return cut


def _learned_from(artefact: Artefact, schema: Schema) -> tuple[Evidence, Array] | None:
    """What the file tells of labelled people, in the form that attackers learn from."""
    from linkbench.models.predictor_files import held_out

    held = held_out(artefact)
    if not held:
        return None
    probabilities = np.asarray(held["probabilities"], dtype=np.float64)
    labels: Array = held["labels"].astype(np.int64)
    known = (labels != MISSING).any(axis=1)
    evidence = Evidence(
        schema, len(labels), most_likely(probabilities, schema), probabilities, person=held["person"].astype(np.int64)
    )
    return evidence.rows(np.flatnonzero(known)), labels[known]


def as_dict(risk: Risk) -> dict[str, Any]:
    """The risk as JSON can hold it."""

    def of_curve(curve: Curve) -> dict[str, Any]:
        return {
            "attacker": curve.attacker,
            "piles": [
                {
                    "size": point.size,
                    "rank": point.rank._asdict(),
                    "success": {str(k): spread._asdict() for k, spread in point.success.items()},
                }
                for point in curve.points
            ],
        }

    return {
        "photos": [str(photo) for photo in risk.photos],
        "whose": risk.how,
        "ancestry": risk.ancestry,
        "people": risk.people,
        "seed": risk.seed,
        "demographics": None if risk.demographics is None else of_curve(risk.demographics),
        "predictors": [
            {
                "predictor": reading.name,
                "title": reading.title,
                "together": _probabilities(reading.pooled, reading.schema),
                "photos": [_probabilities(each, reading.schema) for each in reading.each],
                "found": [of_curve(curve) for curve in found],
            }
            for reading, found in zip(risk.readings, risk.found, strict=True)
        ],
    }


def _probabilities(values: Array, schema: Schema) -> dict[str, dict[str, float]]:
    return {
        name: {variant: float(value) for variant, value in zip(schema[name], values[span], strict=True)}
        for name, span in schema.slices.items()
    }
