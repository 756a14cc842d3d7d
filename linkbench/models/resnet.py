"""A small ResNet of our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from linkbench.api.base import Architecture
from linkbench.api.schema import Schema
from linkbench.errors import InputError

if TYPE_CHECKING:
    from torch import nn


class ResNet(Architecture):
    """A residual network with four stages (He et al. 2016), for photos of 32 px and more."""

    width: Annotated[int, Field(ge=1, le=512)] = Field(
        16, description="channels of the first stage; then 2, 4, 8 times"
    )
    stem_stride: Literal[1, 2] = Field(
        2,
        description="2: a 5x5 first convolution that halves the size; 1: a 3x3 one on every pixel, as networks for "
        "small photos have (He et al. 2016, 4.2), which sees fine patterns and takes four times as long",
    )
    blocks: Annotated[int, Field(ge=1, le=8)] = Field(1, description="residual blocks in each of the four stages")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="part of the last features left out")
    shared: bool = Field(False, description="one trunk with heads instead of one network per phenotype")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"width": 4}

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, size, size] to logits [n, V]. Raises InputError below 32 px."""
        from linkbench.models.networks import PerPhenotype, ResidualNetwork

        if size < 32:
            raise InputError(f"resnet needs photos of at least 32 px, these have {size}; make the cohort's larger")

        def make(classes: int) -> nn.Module:
            return ResidualNetwork(classes, self.width, self.blocks, self.dropout, self.stem_stride)

        return make(schema.width) if self.shared else PerPhenotype(schema, make)
