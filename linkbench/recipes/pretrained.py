"""No training: the network as it comes, from a file of weights or from another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from linkbench.api.base import Recipe

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Report, TrainingData


class Pretrained(Recipe):
    """Leaves the weights as they are. Its features can identify people; its last layer has learned nothing."""

    trains: ClassVar[bool] = False

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        from linkbench.api.training_data import Report

        return Report()
