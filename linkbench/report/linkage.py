"""The report of a linkage: what attackers find, what defences take from them, and at what price.

A new figure is a module in `linkbench.report.figures`, and its line in `FIGURES`.
"""

from __future__ import annotations

from linkbench.report import ladder, matrices, summary, tools, transfer
from linkbench.report.figures import (
    certificates,
    claims,
    curves,
    defences,
    detection,
    differences,
    pooling,
    prediction,
    roc,
    training,
)
from linkbench.report.figures.base import attacker_colours
from linkbench.report.material import Figure, Material, TaskReport
from linkbench.report.matrices import Matrices


def _sentences(material: Material) -> list[str]:
    said = summary.sentences(material.results.conclusions(), material.cells, material.parts)
    return [*said, *ladder.sentences(material.results.ladders())]


def _matrices(material: Material) -> list[Matrices]:
    found = (
        ladder.tables(material.results.ladders(), material.level),
        transfer.tables(material.results.transfer(), material.level),
        matrices.matrices(material.cells, material.parts, material.level),
        tools.tables(material.cells, material.results.run),
    )
    return [each for each in found if each]


def _looks(material: Material) -> dict[str, str]:
    """The same attackers have the same colours in all figures."""
    return attacker_colours(material.cells, material.parts)


FIGURES: tuple[Figure, ...] = (
    lambda run: [differences.differences(run.results.conclusions())],
    lambda run: [curves.defended(run.cells, run.parts)],
    lambda run: [defences.visibility(run.cells, run.parts)],
    lambda run: [prediction.accuracy(run.cells, run.variants)],
    lambda run: [curves.attackers(run.cells, run.parts)],
    lambda run: [defences.by_epsilon(run.cells, run.parts)],
    lambda run: [certificates.by_length(run.cells)],
    lambda run: [pooling.by_photos(run.cells, run.results.run)],
    lambda run: defences.robust(run.cells, run.parts),
    lambda run: [roc.claims(run.cells, _looks(run), run.files)],
    lambda run: [claims.by_pile(run.cells, _looks(run))],
    lambda run: [detection.section(run.cells, run.results.run)],
    lambda run: [training.curves(run.cells, run.trainings)],
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
