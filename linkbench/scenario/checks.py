"""What the checks of all tasks share: models and phenotypes that defenders and attackers name, plugins in plugins."""

from __future__ import annotations

from collections.abc import Collection

from linkbench.api.fields import names_phenotypes
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, Wrong, nested_specs
from linkbench.scenario.file import Model


def unknown_models(specs: dict[str, list[Spec]], models: list[Model]) -> list[Wrong]:
    """Defenders that are to see a model that the scenario does not have."""
    wrong = []
    allowed = ("white-box", "other-seed", *(model.name for model in models))
    for section in ("poisons", "defenders"):
        for spec in specs[section]:
            knowledge = spec.params["knowledge"]
            wrong += [
                Wrong((section,), f"{spec.label}: knowledge names no model {name!r}; allowed: {', '.join(allowed)}")
                for name in ([knowledge] if isinstance(knowledge, str) else knowledge)
                if name not in allowed
            ]
    return wrong


def inside(spec: Spec) -> list[Spec]:
    """All plugins named in the parameters of one, at any depth."""
    return [part for _, inner in nested_specs(spec) for part in (inner, *inside(inner))]


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
