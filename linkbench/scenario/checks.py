"""What the checks of all tasks share: models and phenotypes that defenders and attackers name, plugins in plugins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from linkbench.api.data import Artefact
from linkbench.api.fields import names_phenotypes
from linkbench.errors import InputError
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, Wrong, every, nested_specs
from linkbench.scenario.file import Model
from linkbench.scenario.met import wrongly_open


def about_models(specs: dict[str, list[Spec]], models: list[Model]) -> list[Wrong]:
    """What models, and those who see them, can get wrong."""
    seen = {name for section in ("poisons", "defenders") for spec in specs[section] for name in _knowledge(spec)}
    return [*_unknown_models(specs, models), *_without_opponents(models), *wrongly_open(models, seen)]


def _knowledge(spec: Spec) -> list[str]:
    knowledge = spec.params["knowledge"]
    return [knowledge] if isinstance(knowledge, str) else list(knowledge)


def _unknown_models(specs: dict[str, list[Spec]], models: list[Model]) -> list[Wrong]:
    """Defenders that are to see a model that the scenario does not have."""
    wrong = []
    allowed = ("white-box", "other-seed", *(model.name for model in models))
    for section in ("poisons", "defenders"):
        for spec in specs[section]:
            names = _knowledge(spec)
            wrong += [
                Wrong((section,), f"{spec.label}: knowledge names no model {name!r}; allowed: {', '.join(allowed)}")
                for name in names
                if name not in allowed
            ]
            if "predictor" in registry().load("defender", spec.name).needs:
                wrong += [Wrong((section,), f"{spec.label}: {what}") for what in _seals_broken(names, models)]
    return wrong


def _seals_broken(names: Iterable[str], models: list[Model]) -> Iterator[str]:
    """What is wrong with seeing these models where some are sealed."""
    sealed = [model.name for model in models if model.sealed]
    seen = [model.name for model in models if not model.sealed]
    remedy = (
        f"let it see {' or '.join(map(repr, seen))}" if seen else "add a model with 'role: surrogate' for it to see"
    )
    for name in names if sealed else ():
        if name in sealed:
            yield f"knowledge names the sealed model {name!r}; {remedy} ('knowledge')"
        elif name in ("white-box", "other-seed"):
            whose = "is" if name == "white-box" else "is trained like"
            met = f"{whose} the network it meets, and {sealed[0]!r} is sealed"
            yield f"knowledge {name!r} {met}; {remedy} ('knowledge')"


def _without_opponents(models: list[Model]) -> list[Wrong]:
    """Models of which nobody links with any."""
    if not models or any(model.role == "opponent" for model in models):
        return []
    what = (
        "all of them are surrogates, so there is none to link with; leave 'role: surrogate' out of one or add another"
    )
    return [Wrong(("models",), what)]


def starting_predictor(recipe: Spec) -> Artefact | None:
    """The trained predictor that a recipe starts from, or None. Raises InputError: no such file, or inside another."""
    for part in every(inner for _, inner in nested_specs(recipe)):
        if part.kind == "recipe" and part.plugin().starts_from() is not None:
            raise InputError(
                f"a predictor cannot stand inside the recipe {recipe.name!r}; give it to a model of its own with the "
                f"recipe {part.name!r}, and name that model in 'start'"
            )
    found: Artefact | None = recipe.plugin().starts_from()
    return found


def unknown_phenotypes(spec: Spec, known: Collection[str], section: str, there: str) -> list[Wrong]:
    """Phenotypes that a plugin, or one inside it, names and that are not known; `there` begins the list of those."""
    fields = registry().load(spec.kind, spec.name).model_fields
    out = [problem for _, inner in nested_specs(spec) for problem in unknown_phenotypes(inner, known, section, there)]
    for key, field in fields.items():
        if names_phenotypes(field):
            value = spec.params.get(field.alias or key)
            out += [
                Wrong(
                    (section,),
                    f"{spec.label}: {key} names the phenotype {name!r}; {there}: {', '.join(known)}",
                )
                for name in (value if isinstance(value, list) else [value])
                if name is not None and name not in known
            ]
    return out
