"""A predictor without training: colours of skin, hair and irises, held against published classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Architecture
from linkbench.api.schema import Schema
from linkbench.errors import InputError

if TYPE_CHECKING:
    from torch import nn

Place = Annotated[float, Field(gt=0, lt=1)]


class Colorimetry(Architecture):
    """Skin by its individual typology angle, hair and irises by their colour in CIELAB; nothing else, and no training.

    With the recipe `pretrained` it reads by published classes; a recipe that trains fits them to the photos. Phenotypes
    other than skin, hair and eye, sex among them, are left open: every variant is as likely. Faces are aligned as
    `linkbench.faces` cuts them; other cuts are told by where the eyes are.
    """

    eye_span: Place = Field(0.22, description="distance of the eyes, part of the photo's width")
    eye_height: Place = Field(0.48, description="where the eyes are, part of the photo's height from the top")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {}

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, size, size] to logits [n, V]. Raises InputError below 32 px."""
        from linkbench.models.colorimetry_network import ColorimetryNetwork

        if size < 32:
            raise InputError(f"colorimetry needs photos of at least 32 px, these have {size}; make the photos larger")
        return ColorimetryNetwork(schema, self.eye_span, self.eye_height)
