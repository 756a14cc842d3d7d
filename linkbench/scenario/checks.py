"""What only the parts of a scenario together can get wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkbench.api.fields import names_phenotypes
from linkbench.api.schema import Schema
from linkbench.errors import InputError
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, Wrong, nested_specs

if TYPE_CHECKING:
    from linkbench.scenario.file import Model

UNKNOWN = {"genome": "true genomes", "reference": "a population of genomes", "labels": "phenotypes"}
"""What nobody knows in identification, by the word in `Defender.needs`."""


def check_together(specs: dict[str, list[Spec]], models: list[str], recipes: list[Spec]) -> list[Wrong]:
    """What only the parts together can get wrong: photos without models, phenotypes that nobody has."""
    wrong = _unknown_models(specs, models)
    for spec in specs.get("cohort", []):
        photos = registry().load("cohort", spec.name).has_photos
        if photos and not models:
            wrong.append(Wrong(("cohort",), f"{spec.name!r} has photos, so the section 'models' must name a predictor"))
        if not photos and models:
            wrong.append(Wrong(("models",), f"cohort {spec.name!r} has no photos to train on; leave 'models' out"))
        if not photos:
            wrong += [
                Wrong((section,), f"cohort {spec.name!r} has no photos that could be changed; leave {section!r} out")
                for section, neutral in (("poisons", "none"), ("defenders", "none"), ("channels", "float"))
                if any(other.name != neutral for other in specs.get(section, []))
            ]
    for genomes in specs.get("genomes", []):
        try:
            schema = genomes.plugin().phenotypes()
        except InputError as error:
            wrong.append(Wrong(("genomes",), str(error)))
            continue
        for section in ("poisons", "defenders", "attackers", "cohort"):
            for spec in specs.get(section, []):
                wrong += _unknown_phenotypes(spec, schema, section)
        for spec in recipes:
            wrong += _unknown_phenotypes(spec, schema, "models")
    return wrong


def _unknown_models(specs: dict[str, list[Spec]], models: list[str]) -> list[Wrong]:
    """Defenders that are to see a model that the scenario does not have."""
    wrong = []
    allowed = ("white-box", "other-seed", *models)
    for section in ("poisons", "defenders"):
        for spec in specs.get(section, []):
            knowledge = spec.params["knowledge"]
            wrong += [
                Wrong((section,), f"{spec.label}: knowledge names no model {name!r}; allowed: {', '.join(allowed)}")
                for name in ([knowledge] if isinstance(knowledge, str) else knowledge)
                if name not in allowed
            ]
    return wrong


def check_identification(specs: dict[str, list[Spec]], models: list[Model]) -> list[Wrong]:
    """What the parts of an identification can get wrong: no photos, defenders that want genomes, no weights."""
    wrong = _unknown_models(specs, [model.name for model in models])
    for spec in specs["cohort"]:
        if not registry().load("cohort", spec.name).has_photos:
            wrong.append(Wrong(("cohort",), f"{spec.name!r} has no photos, so nobody can be identified in them"))
    played = [(("defenders",), spec) for spec in specs["defenders"]]
    played += [(("models",), inner) for model in models for inner in _inside(model.recipe)]
    for section, spec in played:
        if spec.kind == "defender":
            asked = registry().load("defender", spec.name).needs
            wrong += [
                Wrong(section, f"{spec.label} must see {what}, which nobody has in identification; leave it out")
                for need, what in UNKNOWN.items()
                if need in asked
            ]
    for model in models:
        untaught = not registry().load("recipe", model.recipe.name).trains
        if untaught and model.start is None and model.architecture.params.get("weights") is None:
            what = f"{model.name}: recipe {model.recipe.name!r} trains nothing, so the architecture needs 'weights'"
            wrong.append(Wrong(("models",), f"{what} (see 'linkbench weights import --help'), or the model a 'start'"))
    return wrong


def _inside(spec: Spec) -> list[Spec]:
    """All plugins named in the parameters of one, at any depth."""
    return [part for _, inner in nested_specs(spec) for part in (inner, *_inside(inner))]


def _unknown_phenotypes(spec: Spec, schema: Schema, section: str) -> list[Wrong]:
    fields = registry().load(spec.kind, spec.name).model_fields
    out = [problem for _, inner in nested_specs(spec) for problem in _unknown_phenotypes(inner, schema, section)]
    for key, field in fields.items():
        if names_phenotypes(field):
            value = spec.params.get(field.alias or key)
            out += [
                Wrong(
                    (section,),
                    f"{spec.label}: {key} names the phenotype {name!r}; the genomes have: {', '.join(schema)}",
                )
                for name in (value if isinstance(value, list) else [value])
                if name is not None and name not in schema
            ]
    return out
