"""Training by a recipe, through the filters of countermeasures where there are some."""

from __future__ import annotations

import copy
import dataclasses

from torch import nn

from linkbench.api.base import Recipe
from linkbench.api.countermeasure import Countermeasure
from linkbench.api.training_data import Report, TrainingData
from linkbench.models.filters import Filter, Filtered
from linkbench.registry.spec import nested_plugin


def train(recipe: Recipe, network: nn.Module, data: TrainingData) -> Report:
    """Train the network in place by any recipe; behind its filter where the recipe is a countermeasure."""
    if not isinstance(recipe, Countermeasure):
        return recipe.train(network, data)
    view = Filter(recipe, recipe.learn(dataclasses.replace(data, network=network))).to(data.device)
    untrained = data.untrained
    # a fresh network has a filter of its own: whoever trains it may not touch that of the network in training
    room = dataclasses.replace(
        recipe.room(data, view),
        untrained=None if untrained is None else lambda: Filtered(copy.deepcopy(view), untrained()),
    )
    report = train(nested_plugin(recipe.recipe, "recipe"), Filtered(view, network), room)
    report.filters = (view, *report.filters)
    return report
