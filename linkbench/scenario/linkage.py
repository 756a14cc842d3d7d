"""The scenario file of linkage: genomes are found for photos of faces."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from linkbench.api.schema import Schema
from linkbench.errors import InputError
from linkbench.metrics.settings import Measure, Strict
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, Wrong, every
from linkbench.scenario.checks import about_models, unknown_phenotypes
from linkbench.scenario.file import Model, TaskFile

PHENOTYPES_IN = ("poisons", "defenders", "attackers", "cohort")
"""Sections whose plugins may name phenotypes."""

ANCESTRY = "ancestry"
"""The word for it beside the names of phenotypes."""

NEUTRAL = {"poisons": "none", "defenders": "none", "channels": "float"}
"""Sections that change photos, and what changes none."""


class Split(Strict):
    """Parts of the people, never of the photos, kept from training."""

    test: float = Field(0.4, gt=0, lt=1, description="part of the people whose photos are linked")
    validation: float = Field(0.1, gt=0, lt=1, description="part of the people used to stop and to calibrate")

    @model_validator(mode="after")
    def _some_left(self) -> Split:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation together leave nobody to train on; their sum must be below 1")
        return self


class LinkageFile(TaskFile):
    """A scenario of linkage as written."""

    genomes: Any = Field(description="the pile of genomes that photos are linked to")
    models: list[Any] = Field([], description="predictors; none where the cohort brings published predictions")
    poisons: Any = Field(
        "none", description="who changes the photos that the attacker trains on, before they are posted"
    )
    attackers: Any = Field(
        ["predicted", {"use": "likelihood", "learns": ["clean", "protected"]}, "ground-truth", "random"],
        description="who links",
    )
    split: Split = Split()


def check(specs: dict[str, list[Spec]], models: list[Model], measure: Measure) -> list[Wrong]:
    """What only the parts together can get wrong: photos without models, phenotypes that nobody has."""
    wrong = about_models(specs, models)
    for spec in specs["cohort"]:
        wrong += (
            _with_photos(spec, models)
            if registry().load("cohort", spec.name).has_photos
            else _without_photos(spec, specs, models, measure)
        )
    wrong += _cannot_redraw(specs, models)
    for genomes in specs["genomes"]:
        try:
            schema = genomes.plugin().phenotypes()
        except InputError as error:
            wrong.append(Wrong(("genomes",), str(error)))
            continue
        wrong += _unlike(measure, schema, genomes)
        played = [(section, spec) for section in PHENOTYPES_IN for spec in specs[section]]
        for section, spec in [*played, *(("models", model.recipe) for model in models)]:
            wrong += unknown_phenotypes(spec, schema, section, "the genomes have")
    for model in models:
        wrong += [
            Wrong(
                ("models",),
                f"{model.name}: recipe {recipe.name!r} tells people apart and learns no phenotypes; "
                f"use another, such as 'standard', or say 'task: identification'",
            )
            for recipe in every([model.recipe])
            if recipe.kind == "recipe" and registry().load("recipe", recipe.name).people
        ]
    return wrong


def _cannot_redraw(specs: dict[str, list[Spec]], models: list[Model]) -> list[Wrong]:
    """Defenders that have photos drawn again, where a cohort cannot do that."""
    played = [(section, spec) for section in ("poisons", "defenders") for spec in specs[section]]
    asking = {
        inner.label: section
        for section, spec in [*played, *(("models", model.recipe) for model in models)]
        for inner in every([spec])
        if inner.kind == "defender" and "redraw" in registry().load("defender", inner.name).needs
    }
    able = [name for name in registry().plugins["cohort"] if registry().load("cohort", name).redraws]
    return [
        Wrong(
            (section,),
            f"{label} has people drawn again with other phenotypes, which cohort {cohort.name!r} cannot do; leave it "
            f"out, or use cohort {' or '.join(map(repr, able))}",
        )
        for label, section in asking.items()
        for cohort in specs["cohort"]
        if not registry().load("cohort", cohort.name).redraws
    ]


def _unlike(measure: Measure, schema: Schema, genomes: Spec) -> list[Wrong]:
    """Ways to be alike in what these genomes do not tell."""
    known = (*schema, ANCESTRY) if genomes.plugin().tells_ancestry() else tuple(schema)
    return [
        Wrong(
            ("measure", "alike"),
            f"names {word!r}, which the genomes {genomes.label} do not tell; they tell: {', '.join(known)}",
        )
        for way in measure.alike
        for word in way.split("+")
        if word not in known
    ]


def _with_photos(cohort: Spec, models: list[Model]) -> list[Wrong]:
    if models:
        return []
    return [Wrong(("cohort",), f"{cohort.name!r} has photos, so the section 'models' must name a predictor")]


def _without_photos(cohort: Spec, specs: dict[str, list[Spec]], models: list[Model], measure: Measure) -> list[Wrong]:
    """Sections that a cohort of published predictions leaves nothing to do."""
    wrong = [
        Wrong((section,), f"cohort {cohort.name!r} has no photos that could be changed; leave {section!r} out")
        for section, neutral in NEUTRAL.items()
        if any(other.name != neutral for other in specs[section])
    ]
    if measure.detect:
        wrong.append(Wrong(("measure", "detect"), f"cohort {cohort.name!r} has no photos to look at; leave it out"))
    if models:
        wrong.append(Wrong(("models",), f"cohort {cohort.name!r} has no photos to train on; leave 'models' out"))
    wrong += [
        Wrong(("attackers",), f"{spec.label}: cohort {cohort.name!r} has no photos that could leak; leave 'leaked' out")
        for spec in specs["attackers"]
        if spec.plugin().leaks()
    ]
    return wrong
