"""Preprocessors of ART as channels: what a platform, or an attacker, does to a photo before it is judged."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from linkbench import Channel
from linkbench.adapters.classifier_attack import library_seeds
from linkbench_art.library import LIBRARY, imported, quiet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CLIP = (0.0, 1.0)


class _Preprocessed(Channel):
    """Base of all: ART works on arrays of the CPU."""

    libraries: ClassVar[tuple[str, ...]] = (LIBRARY,)

    def publish(self, photos: Tensor) -> Tensor:
        import torch

        with quiet():
            out = self.preprocess(imported("art.defences.preprocessor"), photos.detach().cpu().numpy())
        return torch.from_numpy(out).to(photos)

    def preprocess(self, art: Any, photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """float32 [n, 3, h, w] in [0, 1] to the same."""
        raise NotImplementedError


class SpatialSmoothing(_Preprocessed):
    """Each pixel becomes the median of its neighbourhood."""

    window: Annotated[int, Field(ge=1, le=99, description="edge of the neighbourhood in pixels")] = 3

    def preprocess(self, art: Any, photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        out: np.ndarray[Any, Any]
        out, _ = art.SpatialSmoothing(window_size=self.window, channels_first=True, clip_values=CLIP)(photos)
        return out


class FeatureSqueezing(_Preprocessed):
    """Fewer bits per pixel."""

    bits: Annotated[int, Field(ge=1, le=8, description="bits per colour of a pixel")] = 4

    def preprocess(self, art: Any, photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        out: np.ndarray[Any, Any]
        out, _ = art.FeatureSqueezing(clip_values=CLIP, bit_depth=self.bits)(photos)
        return out


class Jpeg(_Preprocessed):
    """JPEG compression as ART does it."""

    libraries: ClassVar[tuple[str, ...]] = (LIBRARY, "pillow")

    quality: Annotated[int, Field(ge=1, le=95, description="JPEG quality")] = 50

    def preprocess(self, art: Any, photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        out: np.ndarray[Any, Any]
        out, _ = art.JpegCompression(clip_values=CLIP, quality=self.quality, channels_first=True)(photos)
        return out


class TotalVariation(_Preprocessed):
    """The smooth photo that passes through a random part of the pixels; which ones follows from the photo itself."""

    keep: Annotated[float, Field(gt=0, le=1, description="part of the pixels that the result is held to")] = 0.3
    strength: Annotated[float, Field(ge=0, description="weight of the total variation")] = 0.5
    norm: Annotated[int, Field(ge=1, le=3, description="norm of the total variation")] = 2
    steps: Annotated[int, Field(ge=1, le=1_000_000, description="steps of the solver")] = 10

    def preprocess(self, art: Any, photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np
        import torch

        smooth = art.TotalVarMin(
            prob=self.keep, norm=self.norm, lamb=self.strength, max_iter=self.steps, clip_values=CLIP
        )
        out = np.empty_like(photos)
        for row, photo in enumerate(photos):
            with library_seeds(zlib.crc32(np.round(photo * 255).astype(np.uint8).tobytes()), torch.device("cpu")):
                changed, _ = smooth(photo.transpose(1, 2, 0)[None])
            out[row] = changed[0].transpose(2, 0, 1)
        return out
