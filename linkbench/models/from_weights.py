"""Architectures whose first weights are those of others, from a checked file that the user brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from linkbench.api.base import Architecture
from linkbench.api.fields import InputPath

if TYPE_CHECKING:
    from torch import Tensor


class FromWeights(Architecture):
    """An architecture with a parameter `weights`, the file that every one of its networks starts from."""

    weights: InputPath | None = Field(None, description="safetensors file that every network starts from")

    def input_files(self) -> list[Path]:
        return [] if self.weights is None else [self.weights]

    def without_weights(self) -> Architecture:
        return self.model_copy(update={"weights": None})

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of a weights file, in the order of the layers."""
        raise NotImplementedError

    def check(self, state: Mapping[str, Tensor], where: str) -> None:
        """Raise WeightsError naming the first tensor that is missing, wrong or of no use."""
        from linkbench.models.predictor import check_weights

        check_weights(dict(state), self.shapes(), where)

    def first_weights(self) -> dict[str, Tensor]:
        """The tensors of the file, empty where there is none. Raises WeightsError."""
        from linkbench.models.weights import read_safetensors

        if self.weights is None:
            return {}
        state = read_safetensors(self.weights)
        self.check(state, str(self.weights))
        return state
