"""PNG files from arrays, with nothing but zlib, and the strip of example photos."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from linkbench.errors import TensorFileError

if TYPE_CHECKING:
    from linkbench.api.data import Array

LARGEST, MOST = 96, 6
"""Side of an example photo in pixels, and how many examples of a defender are shown."""

BYTES = 600_000
"""What all example photos together may add to the page, before their base64 form."""


class Example(NamedTuple):
    """One photo before and after a defence and their amplified difference, as data URIs."""

    before: str
    after: str
    difference: str
    largest: float


class Strip(NamedTuple):
    """The examples of one defender."""

    defender: str
    examples: list[Example]


def write(photo: Array) -> bytes:
    """A PNG file of a photo, uint8 [3, H, W]. Each line is stored as the difference from the one above."""
    import numpy as np

    pixels = np.ascontiguousarray(np.moveaxis(photo, 0, 2))
    height, width, _ = pixels.shape
    lines = pixels.reshape(height, width * 3)
    above = np.vstack([np.zeros((1, width * 3), np.uint8), lines[:-1]])
    data = np.hstack([np.full((height, 1), 2, np.uint8), lines - above])  # filter 2: up; uint8 wraps, as PNG wants
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(data.tobytes(), 9)), (b"IEND", b""))
    )


def data_uri(photo: Array) -> str:
    """The photo as a data URI."""
    return "data:image/png;base64," + base64.b64encode(write(photo)).decode()


def strips(path: Path) -> tuple[list[Strip], int]:
    """Examples of every defender, and the factor by which differences are amplified; nothing without a sound file.

    The file holds `before` and `after`, uint8 [D, E, 3, H, W], and the defenders' names in meta["labels"].
    """
    import numpy as np

    from linkbench.store import tensorfile

    try:
        artefact = tensorfile.read(path)
        before, after = artefact.array("before"), artefact.array("after")
    except (OSError, KeyError, TensorFileError):
        return [], 1
    labels = [str(label) for label in artefact.meta.get("labels", [])]
    if before.shape != after.shape or before.ndim != 5 or len(labels) != len(before) or before.shape[2] != 3:
        return [], 1
    block = -(-max(before.shape[3:]) // LARGEST)
    side = [extent // block for extent in before.shape[3:]]
    room = BYTES // max(1, len(labels) * 9 * side[0] * side[1])  # as if nothing could be compressed
    count = min(before.shape[1], MOST, max(1, room))
    small_before, small_after = (_shrink(photos[:, :count], block) for photos in (before, after))
    change = small_after.astype(np.int16) - small_before
    largest = int(np.abs(change).max(initial=0))
    gain = max((factor for factor in (1, 2, 5, 10, 20, 50) if factor * largest <= 160), default=1) if largest else 1
    amplified = np.clip(128 + gain * change, 0, 255).astype(np.uint8)
    out = [
        Strip(
            label,
            [
                Example(
                    data_uri(small_before[row, column]),
                    data_uri(small_after[row, column]),
                    data_uri(amplified[row, column]),
                    float(np.abs(after[row, column].astype(np.int16) - before[row, column]).max()) / 255.0,
                )
                for column in range(count)
            ],
        )
        for row, label in enumerate(labels)
    ]
    return out, gain


def _shrink(photos: Array, block: int) -> Array:
    """Means over blocks of pixels, uint8 [D, E, 3, h, w]."""
    if block == 1:
        return photos
    import numpy as np

    many, count, channels, height, width = photos.shape
    high, wide = height // block, width // block
    cut = photos[..., : high * block, : wide * block].reshape(many, count, channels, high, block, wide, block)
    mean: Array = cut.mean(axis=(4, 6)).round().astype(np.uint8)
    return mean
