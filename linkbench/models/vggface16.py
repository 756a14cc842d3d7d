"""The paper's network: VGG-16 at 224 px, one per phenotype, from the weights of VGGFace where the user has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.schema import Schema
from linkbench.errors import InputError, WeightsError
from linkbench.models.from_weights import FromWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

_FEATURES = (
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3",
    "conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3",
)  # fmt: skip
_LAYERS = (*_FEATURES, "fc6", "fc7")
_INDEXED = {
    **dict(zip([f"features.{at}" for at in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)], _FEATURES, strict=True)),
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "classifier.6": "fc8",
}
"""Names by position, as torch.nn.Sequential gives them to VGG-16 with a dropout after each hidden layer."""


class VGGFace16(FromWeights):
    """VGG-16 as VGGFace (Parkhi et al. 2015), one network per phenotype, for photos of 224 px.

    Without `weights` it starts from random ones and needs many photos. `linkbench weights import` makes the file.
    Its networks take photos as the original did: blue first, 0..255, less the mean face colour.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.5, description="part of the hidden features left out")
    width: Annotated[int, Field(ge=1, le=64)] = Field(64, description="channels of the first block; VGGFace has 64")
    hidden: Annotated[int, Field(ge=1, le=4096)] = Field(4096, description="width of fc6 and fc7; VGGFace has 4096")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"width": 2, "hidden": 8}

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, 224, 224] to logits [n, V]. Raises InputError for another size, WeightsError for the file."""
        from linkbench.models.networks import VGG16, PerPhenotype

        if size != 224:
            raise InputError(f"vggface16 needs photos of 224 px, these have {size}; set the cohort's size to 224")
        state = self.first_weights()

        def make(classes: int) -> nn.Module:
            network = VGG16(classes, self.width, self.hidden, self.dropout)
            network.load_state_dict(state, strict=False)  # the last layer is the phenotype's own
            return network

        return PerPhenotype(schema, make)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        out: dict[str, tuple[int, ...]] = {}
        channels = 3
        for layer in _FEATURES:
            wider = self.width * min(2 ** (int(layer[4]) - 1), 8)
            out |= {f"{layer}.weight": (wider, channels, 3, 3), f"{layer}.bias": (wider,)}
            channels = wider
        for layer, inputs in (("fc6", channels * 49), ("fc7", self.hidden)):
            out |= {f"{layer}.weight": (self.hidden, inputs), f"{layer}.bias": (self.hidden,)}
        return out

    def import_weights(self, state: Mapping[str, Tensor], *, red_first: bool = False) -> dict[str, Tensor]:
        """Weights of a converted VGGFace under our names. Raises WeightsError for a name that is none of its layers.

        Understood: conv1_1 or conv_1_1 .. fc8, and features.0 .. classifier.6. The last layer, which names celebrities,
        is left out. red_first: the source network took photos red first; its first layer is turned round.
        """
        out: dict[str, Tensor] = {}
        shapes = self.shapes()
        for name, tensor in state.items():
            layer, _, what = name.removeprefix("module.").rpartition(".")
            layer = _INDEXED.get(layer, re.sub(r"^conv_(\d)_(\d)$", r"conv\1_\2", layer))
            if layer == "fc8":
                continue
            new = f"{layer}.{what}"
            if new not in shapes:
                raise WeightsError(
                    f"weights {name!r} belong to no layer of vggface16 ({_LAYERS[0]} .. {_LAYERS[-1]}, fc8)"
                )
            if new in out:
                raise WeightsError(f"weights {name!r} are the second for {new!r}")
            if layer in ("fc6", "fc7") and what == "weight" and tensor.ndim == 4:  # fully connected as a convolution
                tensor = tensor.flatten(1)
            if red_first and new == "conv1_1.weight" and tensor.ndim == 4:
                tensor = tensor.flip(1)
            out[new] = tensor
        return out
