"""Recipes that train on the defender that their model meets: who they are, and what they become when it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linkbench.registry.spec import Spec, Wrong, every, nested_specs, open_fields
from linkbench.scenario.file import Model


def adapts_to_each(model: Model) -> bool:
    """Whether there is one network for each defender that the model meets."""
    return any(open_fields(spec) for spec in every([model.recipe]))


def facing(model: Model, tool: Spec) -> Model:
    """The model as it is trained where it meets this defender."""
    return model._replace(recipe=_filled(model.recipe, tool)) if adapts_to_each(model) else model


def _filled(recipe: Spec, tool: Spec) -> Spec:
    filled = recipe._replace(params={**recipe.params, **dict.fromkeys(open_fields(recipe), _inside(tool))})
    return _with_inner(filled, lambda inner: _filled(inner, tool))


def _inside(spec: Spec) -> dict[str, Any]:
    """A plugin as it stands inside another."""
    return {"use": spec.name, "params": spec.params}


def facing_all(model: Model, tools: list[Spec]) -> Model:
    """The model as it is trained where it adapts to all defenders of its scenario (`to: all`)."""
    inside = [_inside(tool) for tool in tools if tool.name != "none"]
    return model._replace(recipe=_told(model.recipe, inside))


def _told(recipe: Spec, tools: list[dict[str, Any]]) -> Spec:
    if recipe.params.get("to") == "all" and not recipe.params["tools"]:
        recipe = recipe._replace(params={**recipe.params, "tools": tools})
    return _with_inner(recipe, lambda inner: _told(inner, tools))


def _with_inner(recipe: Spec, changed: Callable[[Spec], Spec]) -> Spec:
    """The recipe with those inside it changed."""
    params, inner = dict(recipe.params), dict[str, list[dict[str, Any]]]()
    for key, spec in nested_specs(recipe):
        if spec.kind == "recipe":
            inner.setdefault(key, []).append(_inside(changed(spec)))
    for key, recipes in inner.items():
        params[key] = recipes if isinstance(recipe.params[key], list) else recipes[0]
    return recipe._replace(params=params)


def wrongly_open(models: list[Model], seen: set[str]) -> list[Wrong]:
    """Models that must be one network, but train on what they meet. seen: names of models that defenders are shown."""
    starts = {model.start for model in models}
    return [
        Wrong(
            ("models",),
            f"{model.name}: its recipe trains a network for each defender that it meets, but {why}; give the recipe "
            f"a 'defender'",
        )
        for model in models
        if adapts_to_each(model)
        for why in (
            ["another model starts from it"] * (model.name in starts)
            + ["a surrogate meets nobody"] * (model.role == "surrogate")
            + ["a defender is to see it by its name"] * (model.name in seen)
        )
    ]
