"""The plan of one predictor: the stages of a scenario that train a model, and its predictions for people kept apart."""

from __future__ import annotations

from collections.abc import Sized
from typing import NamedTuple

from linkbench.api.data import TEST, VALIDATION
from linkbench.errors import InputError
from linkbench.plan.builder import Builder, Plan
from linkbench.scenario.file import Model, Scenario
from linkbench.scenario.met import adapts_to_each
from linkbench.scenario.tasks import DEFAULT


class Training(NamedTuple):
    """The steps behind a predictor, and the ids of those that matter; the model that it is of."""

    plan: Plan
    model: Model
    cohort: str
    train: str
    validated: str
    tested: str


def plan_training(scenario: Scenario, name: str | None) -> Training:
    """What must be done to train the model of that name, the only one if none is given, on unprotected photos.

    Raises InputError for a scenario that leaves open which model, cohort, genomes or seed is meant.
    """
    model = _model(scenario, name)
    if scenario.task != DEFAULT:
        raise InputError(f"predictors are of scenarios of the task {DEFAULT!r}; this one is of {scenario.task!r}")
    several: dict[str, Sized] = {
        "seed": scenario.seeds,
        "cohort": scenario.specs["cohort"],
        "genomes": scenario.specs["genomes"],
    }
    for what, found in several.items():
        if len(found) > 1:
            raise InputError(f"the scenario spans {len(found)} points of {what!r}; a predictor has one. Use --set")
    if adapts_to_each(model):
        raise InputError(
            f"{model.name}: its recipe trains a network for each defender that it meets, and a predictor meets nobody; "
            f"give the recipe a 'defender'"
        )
    builder, seed = Builder(scenario), scenario.seeds[0]
    base = builder.people(scenario.specs["genomes"][0], scenario.specs["cohort"][0], seed)
    train = builder.train(model, base, seed)
    validated, tested = (
        builder.predict(train, seed, split=split, cohort=base["cohort"]) for split in (VALIDATION, TEST)
    )
    return Training(Plan(builder.steps, []), model, base["cohort"], train, validated, tested)


def _model(scenario: Scenario, name: str | None) -> Model:
    names = [model.name for model in scenario.models]
    if not names:
        raise InputError("the scenario has no models, so there is no predictor to train; name one in 'models'")
    if name is None and len(names) > 1:
        raise InputError(f"the scenario has {len(names)} models; say which with --model: {', '.join(names)}")
    if name is not None and name not in names:
        raise InputError(f"the scenario has no model {name!r}; there are: {', '.join(names)}")
    return scenario.models[0 if name is None else names.index(name)]
