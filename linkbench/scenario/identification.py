"""The scenario file of identification: people are named in photos, from photos of them that have names."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from linkbench.metrics.settings import Measure, Strict
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, Wrong, every
from linkbench.scenario.checks import about_models, unknown_phenotypes
from linkbench.scenario.file import Model, TaskFile, TaskName

UNKNOWN = {
    "genome": "true genomes",
    "reference": "a population of genomes",
    "redraw": "the photos with other phenotypes",
}
"""What nobody knows in identification, by the word in `Defender.needs`. Labels are known: who is in the photo."""

LEARNED = ("identity",)
"""What a network learns in identification stands where phenotypes stand in linkage."""


class Parts(Strict):
    """Parts of the people, and of the photos of the training people."""

    test: float = Field(
        0.4, gt=0, le=1, description="part of the people who are identified; 1: all, so that none train networks"
    )
    validation: float = Field(
        0.1, ge=0, lt=1, description="part of the other people's photos, by which training is stopped"
    )


class GallerySettings(Strict):
    """What the attacker has of the people who are to be identified."""

    photos: int | None = Field(
        None, ge=1, description="photos of each person, with the name; the rest are probes; null: half of them"
    )


class IdentificationFile(TaskFile):
    """A scenario of identification as written: the names of people in photos, without genomes."""

    task: TaskName = Field(description="what attackers do with the photos")
    models: list[Any] = Field(min_length=1, description="networks whose features are the embedding")
    identifiers: Any = Field("nearest-neighbour", description="who identifies")
    gallery: GallerySettings = GallerySettings()
    split: Parts = Parts()


def check(specs: dict[str, list[Spec]], models: list[Model], measure: Measure) -> list[Wrong]:
    """What the parts of an identification can get wrong: no photos, defenders that want genomes, no weights."""
    wrong = about_models(specs, models)
    wrong += [
        Wrong(("cohort",), f"{spec.name!r} has no photos, so nobody can be identified in them")
        for spec in specs["cohort"]
        if not registry().load("cohort", spec.name).has_photos
    ]
    wrong += [
        Wrong(("measure", name), f"is measured of linkage only; leave {name!r} out")
        for name in ("alike", "detect", "sanity")
        if getattr(measure, name)
    ]
    for spec in specs["defenders"]:
        wrong += _asks_too_much(spec, "defenders")
    for model in models:
        wrong += [problem for spec in every([model.recipe]) for problem in _asks_too_much(spec, "models")]
        wrong += unknown_phenotypes(model.recipe, LEARNED, "models", "in identification there is none but")
        wrong += _untaught(model)
    return wrong


def _asks_too_much(spec: Spec, section: str) -> list[Wrong]:
    """A defender that must be shown what nobody has."""
    if spec.kind != "defender":
        return []
    asked = registry().load("defender", spec.name).needs
    if section == "defenders" and asked >= {"predictor", "labels"}:
        what = "what a network says of the names of those in the gallery, but it has learned those of others"
        return [Wrong((section,), f"{spec.label} must see {what}; leave it out")]
    return [
        Wrong((section,), f"{spec.label} must see {what}, which nobody has in identification; leave it out")
        for need, what in UNKNOWN.items()
        if need in asked
    ]


def _untaught(model: Model) -> list[Wrong]:
    """A network whose weights come from nowhere."""
    trains = registry().load("recipe", model.recipe.name).trains
    if trains or model.start is not None or model.architecture.params.get("weights") is not None:
        return []
    what = f"{model.name}: recipe {model.recipe.name!r} trains nothing, so the architecture needs 'weights'"
    return [Wrong(("models",), f"{what} (see 'linkbench weights import --help'), or the model a 'start'")]
