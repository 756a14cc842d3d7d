"""What countermeasures against poisons share: a filter that becomes part of the predictor, and a recipe inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from linkbench.api.fields import RecipeUse, nested
from linkbench.api.base import Recipe
from linkbench.registry.spec import nested_plugin

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.training_data import Classroom, Report


class Countermeasure(Recipe):
    """A filter in front of the network, at training and at test time; `recipe` trains what stands behind it.

    The filter is part of the predictor: whoever sees the predictor sees through it, and so do gradients.
    """

    recipe: RecipeUse = nested("recipe", "standard", "trains the network behind the filter")

    @field_validator("recipe")
    @classmethod
    def _no_choice_inside(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value["use"] == "best-of":
            raise ValueError("best-of cannot stand inside a countermeasure; put the countermeasure into its recipes")
        return value

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"recipe": {"use": "standard", "epochs": 2}}

    def learn(self, classroom: Classroom) -> dict[str, Tensor]:
        """What the filter takes from the training photos: tensors by name, stored with the weights."""
        return {}

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        """float [n, 3, h, w] in [0, 1] to the same shape, differentiable: what the network gets to see."""
        raise NotImplementedError

    def room(self, classroom: Classroom, view: nn.Module) -> Classroom:
        """What the recipe inside is given; `view` is the filter as a module."""
        return classroom

    def train(self, network: nn.Module, classroom: Classroom) -> Report:
        import dataclasses

        from linkbench.models.filters import Filter, Filtered

        inner: Recipe = nested_plugin(self.recipe, "recipe")
        view = Filter(self, self.learn(classroom)).to(classroom.device)
        untrained = classroom.untrained
        room = dataclasses.replace(
            self.room(classroom, view),
            untrained=None if untrained is None else lambda: Filtered(view, untrained()),
        )
        report = inner.train(Filtered(view, network), room)
        report.filters = (view, *report.filters)
        return report
