"""The CPU default: a few strided convolutions, trained in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Architecture
from linkbench.api.schema import Schema
from linkbench.errors import InputError

if TYPE_CHECKING:
    from torch import nn


class SmallCNN(Architecture):
    """A small convolutional network for photos of 32 px and more; made for 64 px on a CPU."""

    width: Annotated[int, Field(ge=1, le=512)] = Field(16, description="channels after the first convolution")
    depth: Annotated[int, Field(ge=2, le=7)] = Field(4, description="how often the size is halved")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.3, description="part of the last features left out")
    shared: bool = Field(False, description="one trunk with heads instead of one network per phenotype")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"width": 4}

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, size, size] to logits [n, V]. Raises InputError below 32 px, or where depth leaves nothing."""
        from linkbench.models.networks import PerPhenotype, SmallNetwork

        if size < max(32, 2**self.depth):
            raise InputError(
                f"small-cnn with depth {self.depth} needs photos of at least {max(32, 2**self.depth)} px, these have "
                f"{size}; make the cohort's photos larger" + (" or depth smaller" if size >= 32 else "")
            )

        def make(classes: int) -> nn.Module:
            return SmallNetwork(classes, size, self.width, self.depth, self.dropout)

        return make(schema.width) if self.shared else PerPhenotype(schema, make)
