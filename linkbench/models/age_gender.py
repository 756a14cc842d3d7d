"""A pretrained network that reads sex and age: face-api's, with weights that the user brings from an npm package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from linkbench.api.schema import Schema
from linkbench.models.face_api import FaceApi, Source

if TYPE_CHECKING:
    from torch import Tensor, nn

SEXES = ("female", "male")
"""The variants of a phenotype `sex` that the network reads from the start, as its weights file has them."""

BLOCKS = {
    "entry_0": ("entry_flow/reduction_block_0", 2),
    "entry_1": ("entry_flow/reduction_block_1", 2),
    "middle_0": ("middle_flow/main_block_0", 3),
    "middle_1": ("middle_flow/main_block_1", 3),
    "exit": ("exit_flow/reduction_block", 2),
}
"""Our blocks: their paths in face-api, and how many separable convolutions they have."""


class Layer(NamedTuple):
    """A convolution: our name for it, its path in face-api, channels in and out."""

    name: str
    path: str
    inside: int
    outside: int


class AgeGender(FaceApi):
    """face-api's estimate of age and gender, a small Xception at 112 px; photos of other sizes are scaled to it.

    With `weights` it reads sex (female, male) as it comes; phenotypes that nobody trained it for are left open: every
    variant is as likely. Without, it starts from random ones. `linkbench weights import` makes the file from the npm
    package @vladmandic/face-api.
    """

    manifest: ClassVar[str] = "age_gender_model-weights_manifest.json"

    def build(self, schema: Schema, size: int) -> nn.Module:
        """Photos [n, 3, size, size] to logits [n, V]. Raises InputError below 32 px, WeightsError for the file."""
        import torch
        from torch import nn

        from linkbench.models.age_gender_network import AgeGenderNetwork
        from linkbench.models.networks import PerPhenotype

        state, window = self.first_weights(), self.window(size)
        own = {name: state.pop(f"gender.{name}") for name in ("weight", "bias") if state}

        def make(classes: int) -> nn.Module:
            network = AgeGenderNetwork(classes, window)
            if state:
                network.load_state_dict(state, strict=False)
                nn.init.zeros_(network.head.weight)
                nn.init.zeros_(network.head.bias)
            return network

        network = make(schema.width) if self.shared else PerPhenotype(schema, make)
        if own and "sex" in schema and set(schema["sex"]) == set(SEXES):
            rows = torch.tensor([SEXES.index(variant) for variant in schema["sex"]])
            sex = schema.names.index("sex")
            with torch.no_grad():
                for name, tensor in own.items():
                    last = network.get_parameter(f"head.{name}" if self.shared else f"networks.{sex}.head.{name}")
                    last[schema.slices["sex"] if self.shared else slice(None)] = tensor[rows]
        return network

    def shapes(self) -> dict[str, tuple[int, ...]]:
        from linkbench.models.age_gender_network import WIDTH

        out: dict[str, tuple[int, ...]] = {"conv_in.weight": (32, 3, 3, 3), "conv_in.bias": (32,)}
        for layer in _separable():
            out |= {
                f"{layer.name}.depthwise.weight": (layer.inside, 1, 3, 3),
                f"{layer.name}.pointwise.weight": (layer.outside, layer.inside, 1, 1),
                f"{layer.name}.pointwise.bias": (layer.outside,),
            }
        for layer in _expanding():
            shape = (layer.outside, layer.inside, 1, 1)
            out |= {f"{layer.name}.weight": shape, f"{layer.name}.bias": shape[:1]}
        for name, outside in (("age", 1), ("gender", len(SEXES))):
            out |= {f"{name}.weight": (outside, WIDTH), f"{name}.bias": (outside,)}
        return out

    def import_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under our names, female before male. Raises WeightsError naming the tensor.

        Filters come as [height, width, in, out], those of single channels as [height, width, in, 1].
        """
        from linkbench.models.age_gender_network import WIDTH

        source = Source(state, "the age and gender model of face-api")

        def filters(path: str, edge: int, inside: int, outside: int) -> Tensor:
            return source.take(path, (edge, edge, inside, outside)).permute(3, 2, 0, 1)

        out: dict[str, Tensor] = {}
        for layer, edge in [(Layer("conv_in", "entry_flow/conv_in", 3, 32), 3), *((each, 1) for each in _expanding())]:
            out[f"{layer.name}.weight"] = filters(f"{layer.path}/filters", edge, layer.inside, layer.outside)
            out[f"{layer.name}.bias"] = source.take(f"{layer.path}/bias", (layer.outside,))
        for layer in _separable():
            single = source.take(f"{layer.path}/depthwise_filter", (3, 3, layer.inside, 1))
            out[f"{layer.name}.depthwise.weight"] = single.permute(2, 3, 0, 1)
            mixture = filters(f"{layer.path}/pointwise_filter", 1, layer.inside, layer.outside)
            out[f"{layer.name}.pointwise.weight"] = mixture
            out[f"{layer.name}.pointwise.bias"] = source.take(f"{layer.path}/bias", (layer.outside,))
        for name, outside in (("age", 1), ("gender", len(SEXES))):
            out[f"{name}.weight"] = source.take(f"fc/{name}/weights", (WIDTH, outside)).T
            out[f"{name}.bias"] = source.take(f"fc/{name}/bias", (outside,))
        for name in ("gender.weight", "gender.bias"):
            out[name] = out[name].flip(0)  # they say male first
        source.end("age-gender")
        return {name: out[name].float().contiguous() for name in self.shapes()}


def _separable() -> Iterator[Layer]:
    """The separable convolutions in their order."""
    from linkbench.models.age_gender_network import KEEPING, REDUCING, WIDTH

    for name, (path, count) in BLOCKS.items():
        inside, outside = REDUCING.get(name) or (KEEPING[name], KEEPING[name])
        for number in range(count):
            own = f"separable{number}"
            yield Layer(f"{name}.{own}", f"{path}/separable_conv{number}", inside if number == 0 else outside, outside)
    yield Layer("separable", "exit_flow/separable_conv", REDUCING["exit"][1], WIDTH)


def _expanding() -> Iterator[Layer]:
    """The convolutions of short cuts in their order."""
    from linkbench.models.age_gender_network import REDUCING

    for name, (inside, outside) in REDUCING.items():
        yield Layer(f"{name}.expansion", f"{BLOCKS[name][0]}/expansion_conv", inside, outside)
