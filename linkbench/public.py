"""Where every public name lives: `import linkbench` imports nothing until a name is asked for.

What `linkbench` and `linkbench.metrics` list here is what linkbench promises to keep, see docs/api.md.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from linkbench.api.kinds import KINDS

_HOMES = {
    "linkbench": {
        "linkbench.face": ("assess_risk", "load_predictor", "load_results", "load_scenario", "run"),
        "linkbench.api.base": ("Plugin", *(kind.base for kind in KINDS.values())),
        "linkbench.api.budget": ("Budget",),
        "linkbench.api.countermeasure": ("Countermeasure",),
        "linkbench.api.data": (
            "Array", "Artefact", "Cohort", "Evidence", "GALLERY", "Genomes", "MISSING", "Stream", "TEST", "TRAIN",
            "VALIDATION", "check_cohort", "one_hot", "strings",
        ),
        "linkbench.api.executor": ("Job", "JobReport", "Progress", "Site", "WorkerLostError", "Workers"),
        "linkbench.api.fields": (
            "ChannelSpecs", "DefenderSpec", "Epsilon", "Fraction01", "InputPath", "ModelNames", "PhenotypeName",
            "PhenotypeNames", "Radius", "RecipeSpec", "nested",
        ),
        "linkbench.api.gallery": ("Faces", "Gallery"),
        "linkbench.api.hookspecs": ("Register", "hookimpl"),
        "linkbench.api.knowledge": ("Knowledge", "StudySet"),
        "linkbench.api.resources": ("Resources",),
        "linkbench.api.schema": ("PAPER", "Schema"),
        "linkbench.api.seeds": ("generator",),
        "linkbench.api.training_data": ("Examples", "Photos", "Report", "TrainingData"),
        "linkbench.errors": (
            "InputError", "LinkbenchError", "MissingExtraError", "MissingLibraryError", "PluginError", "ScenarioError",
            "StoreError", "TensorFileError", "WeightsError", "WorkerError",
        ),
        "linkbench.results.cells": ("Failed", "MeasuredCell", "Value"),
        "linkbench.results.results": ("Results",),
        "linkbench.risk.assess": ("Risk",),
        "linkbench.scenario.file": ("Scenario",),
        "linkbench.version": ("__version__",),
    },
    "linkbench.metrics": {
        "linkbench.metrics.comparison": ("by_person", "holm", "p_values", "people_needed", "smallest_difference"),
        "linkbench.metrics.counting": ("count_ranks", "roc_by_score"),
        "linkbench.metrics.intervals": ("interval", "resampled_means"),
        "linkbench.metrics.leak": ("success_bound",),
        "linkbench.metrics.ranking": (
            "Ranks", "Roc", "expected_success", "reciprocal_rank", "roc_by_k", "success_curves",
        ),
        "linkbench.metrics.scores": ("Scores", "TIE"),
    },
}  # fmt: skip
"""By package: the module behind each of its names."""

MODULES = {"linkbench": ("metrics",), "linkbench.metrics": ()}
"""Public names that are modules themselves."""


def names(package: str) -> list[str]:
    """The public names of a package, in order."""
    return sorted([*homes(package), *MODULES[package]])


@functools.cache
def homes(package: str) -> dict[str, str]:
    """The module that each public name of a package, other than modules, comes from; empty for other packages."""
    return {name: module for module, here in _HOMES.get(package, {}).items() for name in here}


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of a package that imports a public name when it is asked for (PEP 562)."""
    found = homes(package)

    def attribute(name: str) -> Any:
        if name in MODULES[package]:
            return importlib.import_module(f"{package}.{name}")
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(found[name]), name)

    return attribute, lambda: names(package)
