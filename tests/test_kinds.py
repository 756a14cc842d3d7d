"""One record for each kind of plugin: hooks, base classes, checks, templates and scenario sections agree with it."""

from __future__ import annotations

import importlib
import inspect
import re
from importlib.resources import files
from pathlib import Path

import pluggy
import pytest

from linkbench.api import base
from linkbench.api.hookspecs import Hooks
from linkbench.api.kinds import KINDS, SECTIONS
from linkbench.cli.plugin import FILES
from linkbench.registry import builtins
from linkbench.scenario.file import ModelEntry
from linkbench.scenario.tasks import TASKS, forms


def test_hooks_are_those_of_the_records() -> None:
    hooks = {record.hook for record in KINDS.values()}
    assert len(hooks) == len(KINDS)
    assert hooks == {name for name, found in vars(builtins).items() if hasattr(found, "linkbench_impl")}
    manager = pluggy.PluginManager("linkbench")
    manager.add_hookspecs(Hooks)
    specified = {name: found for name, found in vars(manager.hook).items() if not name.startswith("_")}
    assert set(specified) == hooks
    for record in KINDS.values():
        found = specified[record.hook].spec
        assert (found.name, found.argnames, inspect.getdoc(found.function)) == (record.hook, ("register",), record.what)


def test_base_classes_are_those_of_the_records() -> None:
    classes = {
        name
        for name, found in vars(base).items()
        if isinstance(found, type) and issubclass(found, base.Plugin) and found is not base.Plugin
    }
    assert classes == {record.base for record in KINDS.values()}
    for kind, record in KINDS.items():
        assert (inspect.getdoc(getattr(base, record.base)) or "").startswith(f"Kind `{kind}`")


@pytest.mark.parametrize("kind", KINDS)
def test_checks_and_a_template_are_there(kind: str) -> None:
    assert importlib.import_module(KINDS[kind].checks).CHECKS
    template = files("linkbench") / "testing" / "template"
    for source in FILES.values():
        assert (template / source.format(kind=kind)).is_file()


def test_every_section_is_in_a_form() -> None:
    assert {name for form in forms().values() for name in form.model_fields if name in SECTIONS} == set(SECTIONS)
    parts = {kind for kind, record in KINDS.items() if not record.sections and not record.option}
    assert parts <= set(ModelEntry.model_fields)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("part", ["form", "check", "cells", "report"])
def test_the_parts_of_a_task_are_there(task: str, part: str) -> None:
    assert TASKS[task].load(part)


def test_no_module_asks_for_a_task_by_its_name() -> None:
    """What differs between tasks is in their parts."""
    package = Path(str(files("linkbench")))
    asking = re.compile(rf"""[=!]= *["']({"|".join(TASKS)})["']""")
    assert not [path for path in package.rglob("*.py") if asking.search(path.read_text())]
