"""A predictor made from a scenario: trained through the store, measured on people kept apart, as a file's artefact."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import TEST, TRAIN, VALIDATION, Array, Artefact, Cohort, most_likely
from linkbench.errors import InputError
from linkbench.execution.records import Watcher
from linkbench.execution.run import Run
from linkbench.metrics.rows import prediction_rows
from linkbench.models.predictor_files import HELD, Facts
from linkbench.plan.training import Training
from linkbench.registry import inputs
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec
from linkbench.scenario.file import Scenario
from linkbench.version import __version__


def train_predictor(
    scenario: Scenario,
    training: Training,
    run: Run,
    watching: AbstractContextManager[Watcher | None],
    *,
    title: str,
    licence: str,
) -> Artefact:
    """Carry out the plan of a predictor and return what its file holds.

    Of imaginary people the file also holds what the predictor says about those kept from training, so that attackers
    can calibrate; of real people nothing but totals leaves the store. Raises InputError where a stage fails.
    """
    with watching as watcher:
        run.execute(watcher)
    if run.failures:
        failure = next(iter(run.failures.values()))
        raise InputError(f"{failure.stage}: {failure.reason}")
    trained, people = run.artefact(training.train), Cohort.of(run.artefact(training.cohort))
    imaginary = registry().load("cohort", scenario.specs["cohort"][0].name).imaginary
    arrays = {
        name: np.array(trained.array(name)) for name in trained.arrays if name.startswith(("weights/", "filter/"))
    }
    if imaginary:
        arrays |= _held(people, run.artefact(training.validated))
    facts = {
        "linkbench_predictor": 1,
        "title": title,
        "licence": licence,
        "made_with": f"linkbench {__version__}",
        **{name: trained.meta[name] for name in ("architecture", "size", "schema", "code")},
        "filters": [_without_training(each) for each in trained.meta["filters"]],
        "recipe": _use(training.model.recipe),
        "data": {
            "cohort": _use(scenario.specs["cohort"][0]),
            "genomes": _use(scenario.specs["genomes"][0]),
            **_counts(people, trained=registry().load("recipe", training.model.recipe.name).trains),
            "imaginary": imaginary,
            "seed": scenario.seeds[0],
        },
        "accuracy": _accuracy(scenario, people, run.artefact(training.tested)),
    }
    return Artefact(dict(arrays), Facts.model_validate(facts).model_dump(mode="json", by_alias=True))


def _use(spec: Spec) -> dict[str, Any]:
    """A plugin as it was used; paths of this machine stay here."""
    return {"name": spec.name, "params": inputs.params_without_paths(spec.plugin(), spec.params)}


def _without_training(described: dict[str, Any]) -> dict[str, Any]:
    """A filter without the recipe that trained the network behind it: that is over, and may name files."""
    params = {name: value for name, value in described["params"].items() if name != "recipe"}
    return {"recipe": described["recipe"], "params": params}


def _counts(people: Cohort, *, trained: bool) -> dict[str, int]:
    """People and photos that it was trained on, and people whom it was tested on."""
    training = (people.split == TRAIN) & trained
    return {
        "people": len(np.unique(people.identity[training])),
        "photos": int(training.sum()),
        "tested": len(np.unique(people.identity[people.split == TEST])),
    }


def _held(people: Cohort, validated: Artefact) -> dict[str, Array]:
    photo = validated.array("photo")
    assert (people.split[photo] == VALIDATION).all()
    _, who = np.unique(people.identity[photo], return_inverse=True)
    return {
        f"{HELD}probabilities": np.asarray(validated.array("probabilities"), dtype=np.float32),
        f"{HELD}labels": people.labels[photo].astype(np.int8),
        f"{HELD}person": who.astype(np.int32),
    }


def _accuracy(scenario: Scenario, people: Cohort, tested: Artefact) -> dict[str, Any]:
    """Per phenotype, on the people of the test part; those without a label are left out."""
    photo = tested.array("photo")
    variants = most_likely(np.asarray(tested.array("probabilities")), people.schema)
    seed = seeds.derive(scenario.seeds[0], "bootstrap")
    rows = prediction_rows(
        variants, people.labels[photo], people.identity[photo], people.schema, scenario.measure, seed
    )
    out: dict[str, Any] = {}
    for row in rows:
        metric, _, phenotype = row["metric"].partition(":")
        share = {"value": row["value"], "low": row["ci_low"], "high": row["ci_high"]}
        out.setdefault(phenotype, {})["plain" if metric == "accuracy" else "balanced"] = share
    return out
