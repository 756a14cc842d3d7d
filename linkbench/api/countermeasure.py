"""What countermeasures against poisons share: a filter that becomes part of the predictor, and a recipe inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import field_validator

from linkbench.api.base import Recipe
from linkbench.api.fields import RecipeSpec, nested

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.training_data import TrainingData


class Smoothing(NamedTuple):
    """How a predictor votes: looks at noisy copies of a photo. sigma: deviation of the noise in every number of it, in
    [0, 1] pixel units; draws: how many looks, which are independent of each other and of whoever chose the photo."""

    sigma: float
    draws: int


class Countermeasure(Recipe):
    """A filter in front of the network, at training and at test time; `recipe` trains what stands behind it.

    The filter is part of the predictor: whoever sees the predictor sees through it, and so do gradients. How it is
    trained is the harness's: linkbench.harness.filtered_training.
    """

    recipe: RecipeSpec = nested("recipe", "standard", "trains the network behind the filter")

    @field_validator("recipe")
    @classmethod
    def _no_choice_inside(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value["use"] == "best-of":
            raise ValueError("best-of cannot stand inside a countermeasure; put the countermeasure into its recipes")
        return value

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"recipe": {"use": "standard", "epochs": 2}}

    def learn(self, data: TrainingData) -> dict[str, Tensor]:
        """What the filter takes from the training photos: tensors by name, stored with the weights."""
        return {}

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        """float [n, 3, h, w] in [0, 1] to the same shape, differentiable: what the network gets to see."""
        raise NotImplementedError

    def answer(
        self,
        network: Callable[[Tensor], Tensor],
        photos: Tensor,
        learned: Mapping[str, Tensor],
        secret: int | None,
    ) -> Tensor:
        """Logits [n, C] of the trained network behind the filter, differentiable; as here, of what it sees, once.

        C: all variants in the order of the schema, or those of one phenotype. secret: seeds random numbers that no
        defender can know, when photos are judged; None while others look through the predictor or it is in training.
        """
        return network(self.see(photos, learned))

    def smoothing(self) -> Smoothing | None:
        """How the votes are taken whose parts `answer` gives as probabilities; None: it counts no votes."""
        return None

    def room(self, data: TrainingData, view: nn.Module) -> TrainingData:
        """What the recipe inside is given; `view` is the filter as a module."""
        return data
