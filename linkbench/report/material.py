"""What the sentences and figures of a page are made from, and which of them a task has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from linkbench.api.data import Artefact
from linkbench.report import ranks, training
from linkbench.report.charts import Chart
from linkbench.report.figures.base import Section, defaults
from linkbench.report.matrices import Matrices
from linkbench.report.ranks import RankFile
from linkbench.report.training import Training
from linkbench.results.cells import MeasuredCell, Roles, cleaned, pooled, roles
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

    @classmethod
    def of(cls, results: Results, load: Callable[[str], Artefact]) -> Material:
        """Of a run; load: the stored ranks of a cell by its id."""
        run = results.run
        level = f"{100.0 * float(run.get('scenario', {}).get('measure', {}).get('level', 0.95)):g}%"
        files, cells = ranks.read(load, results.cells), pooled(results.cells)
        return cls(results, cells, roles(run), files, training.read(run), _variants(run), level)


def _variants(run: dict[str, Any]) -> dict[str, int]:
    """How many variants each phenotype has, where the run recorded its schema; chance is unknown otherwise."""
    try:
        return {cleaned(name): len(variants) for name, variants in dict(run.get("schema") or {}).items() if variants}
    except (TypeError, ValueError):
        return {}


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

    def sections(self, material: Material) -> list[Section]:
        """All figures that have data, in reading order."""
        found = [section for figure in self.figures for section in figure(material) if section]
        return [section._replace(text=section.text.replace("{level}", material.level)) for section in found]

    def charts(self, results: Results) -> dict[str, Chart]:
        """All figures that the run has data for, by name."""
        material = Material.of(results, results.load_ranks)
        first = defaults(material.cells)
        return {section.id: Chart(section, first) for section in self.sections(material)}
