"""What may happen to a photo on its way to whoever looks at it, and the face that is seen in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from linkbench.faces.cut import cut, sample
from linkbench.faces.geometry import Square
from linkbench.faces.photo import Photo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from linkbench.api.base import Channel

SHOWN = 2048
"""Longest side in pixels of the photo that postings are tried on: larger than what they leave."""

EDGE = 0.04
"""Part of the face's square that a tight crop takes away at each side, and a little more at one of them."""


class Posting(NamedTuple):
    """One way to post: its name, channels one after the other, and whether the photo is cropped first."""

    name: str
    channels: tuple[Channel, ...]
    cropped: bool = False


def postings(platform: str | None = None) -> list[Posting]:
    """The ways that are checked; platform: that preset alone, beside the file as it is."""
    from linkbench.channels.jpeg import Jpeg
    from linkbench.channels.platform import PRESETS, Platform
    from linkbench.channels.png import Png
    from linkbench.channels.resize import Resize

    presets = [Posting(name, (Platform.model_validate({"preset": name}),)) for name in PRESETS]
    if platform is not None:
        return [each for each in presets if each.name == platform]
    return [
        *presets,
        Posting("half size, JPEG 80", (Resize(factor=0.5), Jpeg(quality=80))),
        Posting("cropped, JPEG 90", (Jpeg(quality=90),), cropped=True),
        Posting("screenshot", (Resize(factor=0.83, filter="bicubic"), Png())),
    ]


def views(photo: Photo, squares: Sequence[Square], size: int, chosen: Sequence[Posting]) -> Tensor:
    """The faces as they are seen: float32 [1 + P, F, 3, size, size], first those of the file itself."""
    import torch

    seen = [torch.cat([cut(photo, square, size) for square in squares])]
    shown, scale = photo.shown(SHOWN)
    pixels = torch.from_numpy(shown).permute(2, 0, 1)[None]
    for posting in chosen:
        posted, left, top = pixels, 0, 0
        if posting.cropped:
            left, top, right, bottom = _crop(squares, scale, pixels)
            posted = pixels[..., top:bottom, left:right]
        with torch.no_grad():
            for channel in posting.channels:
                posted = channel.publish(posted)
        seen.append(
            torch.cat(
                [
                    sample(
                        posted,
                        Square(square.x / scale - left, square.y / scale - top, square.side / scale, square.angle),
                        size,
                    )
                    for square in squares
                ]
            )
        )
    return torch.stack(seen)


def _crop(squares: Sequence[Square], scale: float, pixels: Tensor) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a tight crop around all faces, its corner at odd pixels: blocks of JPEG move."""
    height, width = pixels.shape[-2:]
    edges = [(square.x / scale, square.y / scale, square.side / scale * (0.5 - EDGE)) for square in squares]
    left = max(int(min(x - reach for x, _, reach in edges)), 0) | 1
    top = max(int(min(y - reach for _, y, reach in edges)), 0) | 1
    right = min(int(max(x + reach for x, _, reach in edges)) + 1, width)
    bottom = min(int(max(y + reach for _, y, reach in edges)) + 1, height)
    return left, top, max(right, left + 16), max(bottom, top + 16)
