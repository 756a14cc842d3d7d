"""Ordinary training on the photos as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Recipe
from linkbench.api.fields import Count, Fraction01

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Report, TrainingData
    from linkbench.models.training import Schedule

Rate = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=3)]


class Standard(Recipe):
    """Cross-entropy of every phenotype with balanced classes; each network keeps the weights of its best epoch."""

    epochs: Count = Field(25, description="passes over the training photos, at most")
    patience: Count | None = Field(10, description="epochs without a better validation loss; null: all epochs")
    learning_rate: Rate | None = Field(
        None, description="highest of the one-cycle schedule; null: what suits the network, 0.002 (vggface16: 1e-4)"
    )
    batch: Count | None = Field(None, description="photos per step; null: a tenth of all, within 16 to 32 (CUDA: 256)")
    weight_decay: float = Field(0.05, ge=0, le=10, description="of AdamW")
    balance: Fraction01 = Field(1.0, description="0: variants count as often as they are; 1: all variants the same")
    augment: Strength = Field(1.0, description="strength of flips, shifts, zoom and light; 0: none")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"epochs": 2}

    def plan(self, phase: str = "train") -> Schedule:
        """The parameters, as the training loop wants them."""
        from linkbench.models.training import Schedule

        return Schedule(**self.model_dump(include=set(Standard.model_fields)), phase=phase)

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        from linkbench.models.training import fit

        return fit(network, data, self.plan())
