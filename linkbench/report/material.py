"""What the sentences and figures of a page are made from, and which of them a task has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from linkbench.report.defences import Matrices
from linkbench.report.figures import Section
from linkbench.report.ranks import RankFile
from linkbench.report.svg import Ids
from linkbench.report.training import Training
from linkbench.results.cells import MeasuredCell, Roles
from linkbench.results.results import Results


class Material(NamedTuple):
    """All that a run has left, read once.

    cells: those of several seeds are one; variants: how many each phenotype has; level: of the intervals, as text.
    """

    results: Results
    cells: list[MeasuredCell]
    parts: Roles
    files: dict[str, RankFile]
    trainings: dict[str, Training]
    variants: dict[str, int]
    level: str
    ids: Ids


Figure = Callable[[Material], Iterable[Section | None]]
"""The sections of a figure; none, or None, where the run has no data for it."""


class TaskReport(NamedTuple):
    """What the page says of the runs of a task.

    done, counted: the first line of the page's head, the latter with {photos}, {people} and {population}; method: how
    it was measured, where the page must say more than of every run; figures: in reading order.
    """

    done: str
    counted: str
    method: str
    sentences: Callable[[Material], list[str]]
    matrices: Callable[[Material], list[Matrices]]
    figures: tuple[Figure, ...]


def drawn(report: TaskReport, material: Material) -> list[Section]:
    """All figures that have data, in reading order."""
    found = [section for figure in report.figures for section in figure(material) if section]
    return [section._replace(text=section.text.replace("{level}", material.level)) for section in found]
