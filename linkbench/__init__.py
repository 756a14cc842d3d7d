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
        Executor,
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
    from linkbench.api.executor import Job, JobReport, Progress, Site, WorkerLostError, Workers
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
    from linkbench.api.resources import Resources
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
        WorkerError,
    )
    from linkbench.face import assess_risk, load_predictor, load_results, load_scenario, run
    from linkbench.results.cells import Failed, MeasuredCell, Value
    from linkbench.results.results import Results
    from linkbench.risk.assess import Risk
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
    "Executor",
    "Faces",
    "Failed",
    "Fraction01",
    "Gallery",
    "GenomeSource",
    "Genomes",
    "Identifier",
    "InputError",
    "InputPath",
    "Job",
    "JobReport",
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
    "Progress",
    "Radius",
    "Recipe",
    "RecipeSpec",
    "Register",
    "Report",
    "Resources",
    "Results",
    "Risk",
    "Scenario",
    "ScenarioError",
    "Schema",
    "Site",
    "StoreError",
    "Stream",
    "StudySet",
    "TensorFileError",
    "TrainingData",
    "Value",
    "WeightsError",
    "WorkerError",
    "WorkerLostError",
    "Workers",
    "__version__",
    "assess_risk",
    "check_cohort",
    "generator",
    "hookimpl",
    "load_predictor",
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
