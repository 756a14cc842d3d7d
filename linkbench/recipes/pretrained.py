"""No training: the network as it comes, from a file of weights, a predictor file or another model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from linkbench.api.base import Recipe
from linkbench.api.fields import InputPath

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.data import Artefact
    from linkbench.api.training_data import Report, TrainingData


class Pretrained(Recipe):
    """Leaves the weights as they are: of `predictor`, of the model named by `start`, or of the architecture's file.

    A predictor brings its architecture, so the model names none. Weights of an architecture's file know faces; the last
    layer on them has learned nothing, but its features can identify people.
    """

    trains: ClassVar[bool] = False

    predictor: InputPath | None = Field(
        None, description="a predictor: a name of `linkbench predictor list`, or a file (.safetensors)"
    )

    def input_files(self) -> list[Path]:
        from linkbench.models.predictor_files import locate

        return [] if self.predictor is None else [locate(self.predictor)]

    def code_modules(self) -> list[str]:
        from linkbench.registry.registry import registry

        found = self.starts_from()
        return (
            []
            if found is None
            else [registry().find("recipe", each["recipe"]).module for each in found.meta["filters"]]
        )

    def starts_from(self) -> Artefact | None:
        from linkbench.models.predictor_files import locate, read

        return None if self.predictor is None else read(locate(self.predictor))

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        from linkbench.api.training_data import Report

        return Report()
