"""The report of a linkage: what attackers find, what defences take from them, and at what price.

A new figure is a function here, or in a module beside this one, and its name in `FIGURES`.
"""

from __future__ import annotations

from collections.abc import Iterable

from linkbench.report import (
    certificates,
    claims,
    defences,
    detection,
    figures,
    ladder,
    pooling,
    summary,
    training,
    transfer,
)
from linkbench.report.defences import Matrices
from linkbench.report.figures import Section
from linkbench.report.material import Material, TaskReport


def _sentences(material: Material) -> list[str]:
    said = summary.sentences(material.results.conclusions(), material.cells, material.parts)
    return [*said, *ladder.sentences(material.results.ladders())]


def _matrices(material: Material) -> list[Matrices]:
    found = (
        ladder.tables(material.results.ladders(), material.level),
        transfer.tables(material.results.transfer(), material.level),
        defences.matrices(material.cells, material.parts, material.level),
    )
    return [each for each in found if each]


def _looks(material: Material) -> dict[str, str]:
    """The same attackers have the same colours in all figures."""
    return figures.attacker_colours(material.cells, material.parts)


def _curves(material: Material) -> Iterable[Section | None]:
    yield figures.curves(material.ids, material.cells, _looks(material))


def _by_epsilon(material: Material) -> Iterable[Section | None]:
    yield defences.by_epsilon(material.ids, material.cells, material.parts)


def _certificates(material: Material) -> Iterable[Section | None]:
    yield certificates.by_length(material.ids, material.cells)


def _quality(material: Material) -> Iterable[Section | None]:
    yield defences.quality(material.ids, material.cells, material.parts)


def _pooling(material: Material) -> Iterable[Section | None]:
    yield pooling.by_photos(material.ids, material.cells, material.results.run)


def _robust(material: Material) -> Iterable[Section | None]:
    yield from defences.robust(material.ids, material.cells, material.parts)


def _roc(material: Material) -> Iterable[Section | None]:
    yield figures.roc(material.ids, material.cells, _looks(material), material.files)


def _claims(material: Material) -> Iterable[Section | None]:
    yield claims.by_pile(material.ids, material.cells, _looks(material))


def _detection(material: Material) -> Iterable[Section | None]:
    yield detection.section(material.ids, material.cells, material.results.run)


def _accuracy(material: Material) -> Iterable[Section | None]:
    yield figures.accuracy(material.ids, material.cells, material.variants)


def _training(material: Material) -> Iterable[Section | None]:
    yield training.curves(material.ids, material.cells, material.trainings)


FIGURES = (
    _curves,
    _by_epsilon,
    _certificates,
    _quality,
    _pooling,
    _robust,
    _roc,
    _claims,
    _detection,
    _accuracy,
    _training,
)
"""In reading order."""

REPORT = TaskReport(
    done="linked",
    counted="{photos} photos of {people} people, {population} candidate genomes",
    method="",
    sentences=_sentences,
    matrices=_matrices,
    figures=FIGURES,
)
