"""linkbench: how well attackers link public face photos to genomes, and how well defenders stop them.

    import linkbench as lb

    results = lb.run("scenario.yaml")
    results.table()

A name is imported when it is asked for, so that importing linkbench costs nothing. docs/api.md lists them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkbench.public import lazily

if TYPE_CHECKING:
    from linkbench import metrics
    from linkbench.api.base import (
        Architecture,
        Attacker,
        Channel,
        CohortSource,
        Defender,
        GenomeSource,
        Identifier,
        Plugin,
        Recipe,
    )
    from linkbench.api.budget import Budget
    from linkbench.api.countermeasure import Countermeasure
    from linkbench.api.data import (
        GALLERY,
        MISSING,
        TEST,
        TRAIN,
        VALIDATION,
        Array,
        Artefact,
        Cohort,
        Evidence,
        Genomes,
        Stream,
        check_cohort,
        one_hot,
        strings,
    )
    from linkbench.api.fields import (
        ChannelSpecs,
        DefenderSpec,
        Epsilon,
        Fraction01,
        InputPath,
        ModelNames,
        PhenotypeName,
        PhenotypeNames,
        Radius,
        RecipeSpec,
        nested,
    )
    from linkbench.api.gallery import Faces, Gallery
    from linkbench.api.hookspecs import Register, hookimpl
    from linkbench.api.knowledge import Knowledge, StudySet
    from linkbench.api.schema import PAPER, Schema
    from linkbench.api.seeds import generator
    from linkbench.api.training_data import Examples, Photos, Report, TrainingData
    from linkbench.errors import (
        InputError,
        LinkbenchError,
        MissingExtraError,
        MissingLibraryError,
        PluginError,
        ScenarioError,
        StoreError,
        TensorFileError,
        WeightsError,
    )
    from linkbench.face import load_results, load_scenario, run
    from linkbench.results.cells import Failed, MeasuredCell, Value
    from linkbench.results.results import Results
    from linkbench.scenario.file import Scenario
    from linkbench.version import __version__

__all__ = [
    "GALLERY",
    "MISSING",
    "PAPER",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Architecture",
    "Array",
    "Artefact",
    "Attacker",
    "Budget",
    "Channel",
    "ChannelSpecs",
    "Cohort",
    "CohortSource",
    "Countermeasure",
    "Defender",
    "DefenderSpec",
    "Epsilon",
    "Evidence",
    "Examples",
    "Faces",
    "Failed",
    "Fraction01",
    "Gallery",
    "GenomeSource",
    "Genomes",
    "Identifier",
    "InputError",
    "InputPath",
    "Knowledge",
    "LinkbenchError",
    "MeasuredCell",
    "MissingExtraError",
    "MissingLibraryError",
    "ModelNames",
    "PhenotypeName",
    "PhenotypeNames",
    "Photos",
    "Plugin",
    "PluginError",
    "Radius",
    "Recipe",
    "RecipeSpec",
    "Register",
    "Report",
    "Results",
    "Scenario",
    "ScenarioError",
    "Schema",
    "StoreError",
    "Stream",
    "StudySet",
    "TensorFileError",
    "TrainingData",
    "Value",
    "WeightsError",
    "__version__",
    "check_cohort",
    "generator",
    "hookimpl",
    "load_results",
    "load_scenario",
    "metrics",
    "nested",
    "one_hot",
    "run",
    "strings",
]

if not TYPE_CHECKING:  # a type checker would take every name for one that is there
    __getattr__, __dir__ = lazily(__name__)
