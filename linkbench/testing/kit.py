"""The conformance kit: runs the checks of a plugin's kind, and says of each whether it passed, failed or was skipped.

A check is a function of a `Subject` that returns if all is well, raises AssertionError (or lets the plugin's own error
through) if not, and raises `Skip` with a reason where it does not apply. Its name is its title. The checks of a kind
are the tuple `CHECKS` of the module that its record in linkbench.api.kinds names.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import shutil
import tempfile
import unittest
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.api.base import Plugin
from linkbench.api.kinds import KINDS
from linkbench.errors import InputError
from linkbench.registry.registry import registry
from linkbench.testing import common
from linkbench.testing.check import Check, Outcome, Subject, run_check, title
from linkbench.testing.traces import Traces


def checks_of(kind: str) -> tuple[Check, ...]:
    """All checks of a kind, in the order in which they are run."""
    own: tuple[Check, ...] = importlib.import_module(KINDS[kind].checks).CHECKS
    return (*common.CHECKS, *own, common.nothing_is_left_behind)


def examine(kind: str, name: str, params: Mapping[str, Any] | None = None) -> list[Outcome]:
    """Run all checks on a registered plugin. Raises PluginError if there is none, or it cannot be imported."""
    with _subject(kind, name, params or {}) as subject:
        return [run_check(check, subject) for check in checks_of(kind)]


@contextmanager
def _subject(kind: str, name: str, params: Mapping[str, Any]) -> Iterator[Subject]:
    checks_of(kind)  # what they import is theirs
    with tempfile.TemporaryDirectory(prefix="linkbench-check-") as folder, contextlib.ExitStack() as stack:
        folders = () if kind == "executor" else (os.getcwd(), stack.enter_context(_temporary_files_in(folder)))
        before = Traces.now(folders)
        (Path(folder) / "given").mkdir()
        yield Subject(kind, name, registry().imported(kind, name), params, Path(folder) / "given", before)


@contextmanager
def _temporary_files_in(folder: str) -> Iterator[str]:
    """Temporary files go into a folder of their own, so that those that stay are seen."""
    before, place = tempfile.tempdir, Path(folder) / "temporary"
    place.mkdir()
    tempfile.tempdir = str(place)
    try:
        yield str(place)
    finally:
        tempfile.tempdir = before


class Case(NamedTuple):
    """One check of one plugin, to be called by a test: raises AssertionError, or unittest.SkipTest with the reason."""

    check: Check
    subject: Callable[[], Subject]

    def __str__(self) -> str:
        return title(self.check).replace(" ", "-")

    def __call__(self) -> None:
        outcome = run_check(self.check, self.subject())
        if outcome.status == "skip":
            raise unittest.SkipTest(outcome.reason)
        if outcome.status == "fail":
            raise AssertionError(f"{outcome.check}: {outcome.reason}")


def conformance(plugin: str | type[Plugin], name: str | None = None, /, **params: Any) -> list[Case]:
    """The checks of a plugin as test cases: `conformance(MyDefender)` or `conformance("defender", "my-defender")`."""
    if isinstance(plugin, str):
        if plugin not in KINDS or name is None:
            raise InputError(f"conformance(kind, name): kinds are {', '.join(KINDS)}; or give the class of the plugin")
        kind, given = plugin, None
    else:
        kind, given = kind_of(plugin), plugin

    @functools.cache
    def subject() -> Subject:
        folder = tempfile.mkdtemp(prefix="linkbench-check-")
        before = Traces.now()
        made = Subject(kind, name, given or registry().imported(kind, str(name)), params, Path(folder), before)
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
        return made

    return [Case(check, subject) for check in checks_of(kind)]


def kind_of(cls: type[Plugin]) -> str:
    """The kind of a plugin class. Raises InputError for anything else."""
    bases = importlib.import_module("linkbench.api.base")
    for kind, record in KINDS.items():
        if isinstance(cls, type) and issubclass(cls, getattr(bases, record.base)):
            return kind
    raise InputError(f"{cls!r} is no class of plugins; derive it from linkbench.Defender or another kind")
