"""Photos without the directions that a linear model reads classes from: linear shortcuts are cut out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure
from linkbench.api.fields import Count, PhenotypeName

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.training_data import TrainingData

NOTHING = 1e-6
"""Directions shorter than this part of the longest are rounding errors."""


class OrthogonalProjection(Countermeasure):
    """The predictor sees photos projected onto the orthogonal complement of a linear model's class directions.

    Sandoval-Segura et al. 2023. The linear (logistic) model is fitted to the training photos as they are; K variants
    span K - 1 directions. What photos say linearly, colours above all, goes with the poison: `phenotype` cuts less.
    Training photos are projected before they are augmented as
    well, because a mirrored shortcut lies in other directions.
    """

    phenotype: PhenotypeName | None = Field(
        None, description="whose directions are cut; null: those of all phenotypes, also where no poison aims at them"
    )
    epochs: Annotated[Count, Field(description="passes of the linear model over the training photos")] = 20

    def learn(self, data: TrainingData) -> dict[str, Tensor]:
        """directions: float32 [r, 3 h w], orthonormal rows; r = the number of variants less that of phenotypes cut."""
        import torch

        from linkbench.models.linear import linear_model

        known = data.training
        weights = linear_model(
            known.photos.batch, known.labels, data.schema, device=data.device, seed=data.seed, epochs=self.epochs
        )
        slices = data.schema.slices
        spans = list(slices.values()) if self.phenotype is None else [slices[self.phenotype]]
        apart = [part - part.mean(dim=0) for part in (weights[span] for span in spans)]
        _, lengths, directions = torch.linalg.svd(torch.cat(apart), full_matrices=False)
        kept = int((lengths > NOTHING * lengths[0]).sum())
        most = sum(len(part) - 1 for part in apart)
        return {"directions": directions[: min(kept, most)].float().contiguous()}

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        directions = learned["directions"].to(photos)
        flat = photos.flatten(1)
        return (flat - (flat @ directions.T) @ directions).view(photos.shape)

    def room(self, data: TrainingData, view: nn.Module) -> TrainingData:
        import dataclasses

        from linkbench.api.training_data import Seen

        examples = data.training
        return dataclasses.replace(data, training=dataclasses.replace(examples, photos=Seen(examples.photos, view)))
