"""A pretrained network as it is, with last layers that are fitted: what its features already know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from linkbench.api.base import Recipe
from linkbench.api.fields import Fraction01

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Report, TrainingData


class LinearProbe(Recipe):
    """Multinomial logistic regression of every phenotype on the network's features (Alain & Bengio 2016).

    All layers but the last stay as they are, so the network must know faces already: by weights of its architecture or
    from a `start`. The fit is exact. How much large weights are punished is chosen for each phenotype by
    cross-validation over the training people; the validation people stop nothing and choose nothing.
    """

    balance: Fraction01 = Field(1.0, description="0: variants count as often as they are; 1: all variants the same")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {}

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        """Raises InputError for an architecture that does not end in a linear layer."""
        from linkbench.models.last_layers import fit

        return fit(network, data, self.balance)
