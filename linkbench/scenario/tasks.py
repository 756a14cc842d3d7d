"""The tasks, one record each: what attackers do with the photos, and who reads, checks, plans and reports it."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple


class TaskParts(NamedTuple):
    """The parts of a task, each "module:name" and imported when it is needed: a scenario is read without its report.

    form: the pydantic model of the file; check: what only its parts together can get wrong, from the plugins of every
    section, the models and what is measured to a list of Wrong; cells: adds the cells to a plan's Builder; report: the
    task's part of the page, a TaskReport; page: the page of docs/ that describes the file.
    """

    form: str
    check: str
    cells: str
    report: str
    page: str

    def load(self, part: str) -> Any:
        """The object behind one of the first four."""
        module, _, name = str(getattr(self, part)).partition(":")
        return getattr(importlib.import_module(module), name)


TASKS = {
    "linkage": TaskParts(
        form="linkbench.scenario.linkage:LinkageFile",
        check="linkbench.scenario.linkage:check",
        cells="linkbench.plan.linkage:add_cells",
        report="linkbench.report.linkage:REPORT",
        page="scenario.md",
    ),
    "identification": TaskParts(
        form="linkbench.scenario.identification:IdentificationFile",
        check="linkbench.scenario.identification:check",
        cells="linkbench.plan.identification:add_cells",
        report="linkbench.report.identification:REPORT",
        page="identification.md",
    ),
}
"""Every task by the name that stands in the file."""

DEFAULT = "linkage"
"""The task of a file that names none."""


def task_of(data: Any) -> str:
    """The task of a scenario as written or as recorded; the default where it names none, or one that does not exist."""
    task = data.get("task") if isinstance(data, dict) else None
    return task if isinstance(task, str) and task in TASKS else DEFAULT


def forms() -> dict[str, Any]:
    """The form of the file for each task."""
    return {name: task.load("form") for name, task in TASKS.items()}
