"""A real, pretrained face recogniser: dlib's, with the weights that the user brings from an npm package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from linkbench.api.base import Architecture
from linkbench.api.fields import InputPath
from linkbench.api.schema import Schema
from linkbench.errors import InputError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

MANIFEST = "face_recognition_model-weights_manifest.json"
"""The file of @vladmandic/face-api (MIT) that lists the weights."""


class DlibResNet(Architecture):
    """dlib's face recogniser (King 2017) for photos of 150 px, as face-api has it; one network per phenotype.

    Its features are an embedding of 128 numbers, in which the Euclidean distance tells people apart. Without `weights`
    it starts from random ones. `linkbench weights import` makes the file from the npm package @vladmandic/face-api.
    """

    weights: InputPath | None = Field(None, description="safetensors file that every network starts from")
    jitter: Annotated[int, Field(ge=0, le=32)] = Field(
        0, description="pixels; above 0 the embedding is the mean over the photo and copies moved so far to four sides"
    )

    def input_files(self) -> list[Path]:
        return [] if self.weights is None else [self.weights]

    def without_weights(self) -> Architecture:
        return self.model_copy(update={"weights": None})

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, 150, 150] to logits [n, V]. Raises InputError for another size, WeightsError for the file."""
        from linkbench.models.dlib_network import SIZE, DlibNetwork
        from linkbench.models.networks import PerPhenotype

        if size != SIZE:
            raise InputError(
                f"dlib-resnet needs photos of {SIZE} px, these have {size}; set the cohort's size to {SIZE}"
            )
        state: dict[str, Tensor] = {}
        if self.weights is not None:
            from linkbench.models.weights import read_safetensors

            state = read_safetensors(self.weights)
            self.check(state, str(self.weights))

        def make(classes: int) -> nn.Module:
            network = DlibNetwork(classes, self.jitter)
            network.load_state_dict(state, strict=False)  # the last layer is the schema's own
            return network

        return PerPhenotype(schema, make)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of a weights file, in the order of the layers."""
        from linkbench.models.dlib_network import BLOCKS, WIDTH

        out: dict[str, tuple[int, ...]] = {"conv32_down.weight": (32, 3, 7, 7), "conv32_down.bias": (32,)}
        for name, inside, outside, _ in BLOCKS:
            for layer, channels in (("conv1", inside), ("conv2", outside)):
                out |= {f"{name}.{layer}.weight": (outside, channels, 3, 3), f"{name}.{layer}.bias": (outside,)}
        return out | {"fc.weight": (WIDTH, BLOCKS[-1].outside)}

    def check(self, state: Mapping[str, Tensor], where: str) -> None:
        """Raise WeightsError naming the first tensor that is missing, wrong or of no use."""
        from linkbench.models.predictor import check_weights

        check_weights(dict(state), self.shapes(), where)

    def read_weights(self, source: Path) -> dict[str, Tensor]:
        """The tensors of the npm package: its folder, its .tgz, or the manifest in it. Raises WeightsError."""
        from linkbench.models.tfjs import read_tfjs

        return read_tfjs(source, MANIFEST)

    def import_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under our names, each scale taken into its convolution. Raises WeightsError naming the tensor.

        Filters come as [height, width, in, out]; a layer gives (conv(x) + bias) * scale + shift.
        """
        taken: set[str] = set()

        def take(name: str, shape: tuple[int, ...]) -> Tensor:
            if name not in state:
                raise WeightsError(f"weights {name!r} are missing; bring the face recognition model of face-api")
            if tuple(state[name].shape) != shape:
                raise WeightsError(f"weights {name!r} have shape {list(state[name].shape)}, expected {list(shape)}")
            taken.add(name)
            return state[name].double()

        out: dict[str, Tensor] = {}
        for name, shape in self.shapes().items():
            layer, _, what = name.rpartition(".")
            path = layer.replace(".", "/")
            if layer == "fc":
                out[name] = take("fc", shape[::-1]).T.float().contiguous()
                continue
            outside, inside, *window = (*shape, 0, 0, 0)[:4] if what == "weight" else (shape[0], 0, 0, 0)
            scale = take(f"{path}/scale/weights", (outside,))
            if what == "weight":
                filters = take(f"{path}/conv/filters", (*window, inside, outside)).permute(3, 2, 0, 1)
                out[name] = (filters * scale.view(-1, 1, 1, 1)).float().contiguous()
            else:
                bias = take(f"{path}/conv/bias", (outside,))
                out[name] = (bias * scale + take(f"{path}/scale/biases", (outside,))).float()
        extra = next((name for name in state if name not in taken), None)
        if extra is not None:
            raise WeightsError(f"weights {extra!r} belong to no layer of dlib-resnet")
        return out
