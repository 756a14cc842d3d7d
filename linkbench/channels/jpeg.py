"""JPEG files as cameras, messengers and social networks write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from linkbench.api.base import Channel
from linkbench.errors import MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor


class Jpeg(Channel):
    """A baseline JPEG file with colour at half resolution (4:2:0), written and read by Pillow."""

    libraries: ClassVar[tuple[str, ...]] = ("pillow",)

    quality: int = Field(default=90, ge=1, le=100, description="as in libjpeg: 75 is common, 90 good, 100 the best")

    def publish(self, photos: Tensor) -> Tensor:
        """Rounded to eight bits, through a file of each photo, and back. Raises MissingExtraError without Pillow."""
        import io

        import numpy as np
        import torch

        try:
            from PIL import Image
        except ImportError:
            raise MissingExtraError("channel 'jpeg'", "pillow", "photos") from None
        pixels = (photos.detach() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        out = np.empty_like(pixels)
        for row, photo in enumerate(pixels):
            file = io.BytesIO()
            Image.fromarray(photo).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
            with Image.open(file, formats=["JPEG"]) as image:
                out[row] = np.asarray(image)
        # /255 on the photos' own device: a division elsewhere may round the last bit another way
        back = torch.from_numpy(out).permute(0, 3, 1, 2).to(photos.device, photos.dtype)
        return back.contiguous() / 255

    def through(self, photos: Tensor) -> Tensor:
        """The published values, with the gradient of JPEG with softened rounding (linkbench.channels.dct)."""
        from linkbench.api.rounding import with_gradient_of
        from linkbench.channels.dct import soft_jpeg

        return with_gradient_of(soft_jpeg(photos, self.quality), self.publish(photos))
