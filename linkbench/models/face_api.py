"""Architectures of face-api: weights out of its npm package, and faces cut as closely as its networks know them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from linkbench.errors import InputError, WeightsError
from linkbench.models.from_weights import FromWeights

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.models.networks import Window

EYE_SPAN, EYE_HEIGHT = 0.4, 0.34
"""The eyes in what the networks were trained on: their distance, and how far from the top, parts of its edge."""

SMALLEST = 32
"""Pixels; smaller photos are refused."""

Place = Annotated[float, Field(gt=0, lt=1)]


class FaceApi(FromWeights):
    """A network of @vladmandic/face-api (MIT). manifest: the file that lists its weights."""

    manifest: ClassVar[str]

    shared: bool = Field(False, description="one trunk with heads instead of one network per phenotype")
    eye_span: Place | None = Field(
        None,
        description="distance of the eyes, part of the photo's width: the network looks at the part around them that "
        "it knows from its training (linkbench.faces: 0.22); null: at the whole photo",
    )
    eye_height: Place = Field(
        0.48, description="with eye_span: where the eyes are, part of the photo's height from the top"
    )

    def window(self, size: int) -> Window | None:
        """The part of a photo that the network looks at; None: all of it. Raises InputError for photos too small."""
        from linkbench.models.networks import Window

        if size < SMALLEST:
            raise InputError(f"photos must have at least {SMALLEST} px, these have {size}; make the cohort's larger")
        if self.eye_span is None:
            return None
        edge = min(1.0, self.eye_span / EYE_SPAN)
        top = min(max(0.0, self.eye_height - EYE_HEIGHT * edge), 1 - edge)
        return Window((1 - edge) / 2, top, edge)

    def read_weights(self, source: Path) -> dict[str, Tensor]:
        """The tensors of the npm package: its folder, its .tgz, or the manifest in it. Raises WeightsError."""
        from linkbench.models.tfjs import read_tfjs

        return read_tfjs(source, self.manifest)


class Source:
    """Weights under the names that others gave them, each taken once; whose: whose they are, in words."""

    def __init__(self, state: Mapping[str, Tensor], whose: str) -> None:
        self.state, self.whose = state, whose
        self.taken: set[str] = set()

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """float64, the tensor of this name. Raises WeightsError where it is missing or has another shape."""
        if name not in self.state:
            raise WeightsError(f"weights {name!r} are missing; bring {self.whose}")
        if tuple(self.state[name].shape) != shape:
            raise WeightsError(f"weights {name!r} have shape {list(self.state[name].shape)}, expected {list(shape)}")
        self.taken.add(name)
        return self.state[name].double()

    def end(self, architecture: str) -> None:
        """Raise WeightsError for a tensor that nobody took."""
        extra = next((name for name in self.state if name not in self.taken), None)
        if extra is not None:
            raise WeightsError(f"weights {extra!r} belong to no layer of {architecture}")
