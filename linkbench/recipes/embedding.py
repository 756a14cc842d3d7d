"""Training of an embedding: features that tell people apart, also people who were not there when it was learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from linkbench.api.fields import Count, Fraction01
from linkbench.recipes.adaptive import Adaptive
from linkbench.recipes.standard import Standard

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Report, TrainingData
    from linkbench.models.cosine import Cosine

Scale = Annotated[float, Field(gt=0, le=256, description="the logits are this times a cosine")]


class Embedding(Standard):
    """Tell the training people apart by the angles of the features (NormFace, Wang et al. 2017).

    The weights kept are those of the epoch that is best on other photos of the same people.
    """

    people: ClassVar[bool] = True

    epochs: Count = Field(30, description="passes over the training photos, at most")
    scale: Scale = 16.0

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        return super().train(_by_angle(network, self.scale, data), data)


class AdaptiveEmbedding(Adaptive):
    """An embedding of photos as they are and as the very tool protects them (Radiya-Dixit & Tramer 2021).

    As recipe `adaptive` in all else: the defender sees the model named by `start:`, or the network trained on clean
    photos first.
    """

    people: ClassVar[bool] = True

    epochs: Count = Field(30, description="passes over the training photos, at most")
    clean: Fraction01 = Field(
        1.0, description="part of the training photos that is learned from as it was, too, beside its protected copy"
    )
    scale: Scale = 16.0

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"defender": {"use": "fawkes", "steps": 1}, "epochs": 1}

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        return super().train(_by_angle(network, self.scale, data), data)


def _by_angle(network: nn.Module, scale: float, data: TrainingData) -> Cosine:
    """The network as training sees it. Raises InputError for phenotypes, which are not told apart by angles."""
    from linkbench.errors import InputError
    from linkbench.models.cosine import on_last_layer

    if len(data.schema) != 1:
        raise InputError(
            f"an embedding tells people apart, but here are {len(data.schema)} phenotypes to learn; use recipe "
            f"'standard', or task: identification"
        )
    return on_last_layer(network, scale, data.training.photos.size)
