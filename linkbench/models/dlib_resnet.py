"""A real, pretrained face recogniser: dlib's, with the weights that the user brings from an npm package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from linkbench.api.schema import Schema
from linkbench.models.face_api import FaceApi, Source

if TYPE_CHECKING:
    from torch import Tensor, nn


class DlibResNet(FaceApi):
    """dlib's face recogniser (King 2017) at 150 px, as face-api has it; photos of other sizes are scaled to it.

    Its features are an embedding of 128 numbers, in which the Euclidean distance tells people apart. Without `weights`
    it starts from random ones. `linkbench weights import` makes the file from the npm package @vladmandic/face-api.
    """

    manifest: ClassVar[str] = "face_recognition_model-weights_manifest.json"

    jitter: Annotated[int, Field(ge=0, le=32)] = Field(
        0, description="pixels; above 0 the embedding is the mean over the photo and copies moved so far to four sides"
    )

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, size, size] to logits [n, V]. Raises InputError below 32 px, WeightsError for the file."""
        from linkbench.models.dlib_network import DlibNetwork
        from linkbench.models.networks import PerPhenotype

        state, window = self.first_weights(), self.window(size)

        def make(classes: int) -> nn.Module:
            network = DlibNetwork(classes, self.jitter, window)
            network.load_state_dict(state, strict=False)  # the last layer is the schema's own
            return network

        return make(schema.width) if self.shared else PerPhenotype(schema, make)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        from linkbench.models.dlib_network import BLOCKS, WIDTH

        out: dict[str, tuple[int, ...]] = {"conv32_down.weight": (32, 3, 7, 7), "conv32_down.bias": (32,)}
        for name, inside, outside, _ in BLOCKS:
            for layer, channels in (("conv1", inside), ("conv2", outside)):
                out |= {f"{name}.{layer}.weight": (outside, channels, 3, 3), f"{name}.{layer}.bias": (outside,)}
        return out | {"fc.weight": (WIDTH, BLOCKS[-1].outside)}

    def import_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under our names, each scale taken into its convolution. Raises WeightsError naming the tensor.

        Filters come as [height, width, in, out]; a layer gives (conv(x) + bias) * scale + shift.
        """
        source = Source(state, "the face recognition model of face-api")
        out: dict[str, Tensor] = {}
        for name, shape in self.shapes().items():
            layer, _, what = name.rpartition(".")
            path = layer.replace(".", "/")
            if layer == "fc":
                out[name] = source.take("fc", shape[::-1]).T.float().contiguous()
                continue
            outside, inside, *window = (*shape, 0, 0, 0)[:4] if what == "weight" else (shape[0], 0, 0, 0)
            scale = source.take(f"{path}/scale/weights", (outside,))
            if what == "weight":
                filters = source.take(f"{path}/conv/filters", (*window, inside, outside)).permute(3, 2, 0, 1)
                out[name] = (filters * scale.view(-1, 1, 1, 1)).float().contiguous()
            else:
                bias = source.take(f"{path}/conv/bias", (outside,))
                out[name] = (bias * scale + source.take(f"{path}/scale/biases", (outside,))).float()
        source.end("dlib-resnet")
        return out
