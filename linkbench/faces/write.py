"""Photos written back in the format, size and orientation that they had."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from linkbench.api.data import Array
from linkbench.errors import InputError, MissingExtraError
from linkbench.faces.photo import ORIENTATION, Photo

_PNG_HEADER = 33
"""Bytes of a PNG file's signature and its IHDR chunk."""


def write(photo: Photo, path: Path, *, keep_metadata: bool = False) -> None:
    """The photo as a file of its own format, whole or not at all; the folder must exist.

    Colour profile, orientation and (JPEG) quantisation tables stay. Camera data and places go unless they are to be
    kept; thumbnails always go, since they show the photo as it was. Raises InputError where it cannot be written.
    """
    data = encode(photo, keep_metadata=keep_metadata)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another folder") from None


def encode(photo: Photo, *, keep_metadata: bool = False) -> bytes:
    """The bytes of the file that `write` writes."""
    exif = photo.exif if keep_metadata else _orientation(photo.orientation)
    if photo.pixels.dtype == np.uint16:
        return _deep(photo.pixels, photo.profile, exif)
    import PIL.Image

    image = PIL.Image.fromarray(photo.pixels[..., 0] if photo.pixels.shape[2] == 1 else photo.pixels)
    how: dict[str, Any] = dict(photo.saving)
    if photo.profile is not None:
        how["icc_profile"] = photo.profile
    if exif:
        how["exif"] = exif
    if photo.format == "JPEG" and how["progressive"]:
        # libjpeg writes a progressive file in one go: the buffer must hold all of it
        PIL.ImageFile.MAXBLOCK = max(PIL.ImageFile.MAXBLOCK, photo.pixels.size)
    file = io.BytesIO()
    image.save(file, photo.format, **how)
    return file.getvalue()


def _orientation(orientation: int) -> bytes:
    """EXIF data that say how the pixels lie and nothing else; none where they lie upright."""
    if orientation == 1:
        return b""
    import PIL.Image

    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def _deep(pixels: Array, profile: bytes | None, exif: bytes) -> bytes:
    """A PNG file of 16 bits per colour; Pillow writes none in colour."""
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("Writing PNG files of 16 bits", "opencv-python-headless", "faces") from None
    channels = pixels.shape[2]
    if channels == 2:  # OpenCV knows no grey with alpha
        pixels = pixels[..., [0, 0, 0, 1]]
    elif channels >= 3:
        pixels = pixels[..., [2, 1, 0, 3][:channels]]
    done, coded = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert done  # PNG takes any size and depth that was read
    data = bytes(coded.tobytes())
    chunks = b""
    if profile is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
    if exif:
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return data[:_PNG_HEADER] + chunks + data[_PNG_HEADER:]


def _chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
