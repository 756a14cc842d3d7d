"""Photos as pictures that browsers can show, PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from linkbench.faces import Photo, Square
from linkbench.faces.geometry import Face

WHOLE, CLOSE = 640, 512
"""Longest side of the pictures of a whole photo and of one face, pixels."""

STRONGER = 8
"""Times by which differences are enlarged: one of 8/255 is half of the way from grey to white."""


def whole(photo: Photo, faces: Sequence[Face]) -> bytes:
    """The photo, squares around the faces that were found in it."""
    from PIL import ImageDraw

    pixels, scale = photo.shown(WHOLE)
    image = _image(pixels)
    pen = ImageDraw.Draw(image)
    for face in faces:
        corners = _corners(face.square, scale)
        for colour, width in (("black", 5), ("white", 2)):
            pen.line([*corners, corners[0]], fill=colour, width=width, joint="curve")
    return _png(image)


def close(photo: Photo, square: Square) -> bytes:
    """One face and what is around it."""
    return _png(_shrunk(_image(_around(photo, square))))


def difference(before: Photo, after: Photo, square: Square) -> bytes:
    """What was changed of a face, STRONGER times: grey is as it was, brighter is brighter."""
    apart = _around(after, square) - _around(before, square)
    return _png(_shrunk(_image(0.5 + STRONGER * apart)))


def _around(photo: Photo, square: Square) -> Any:
    return photo.seen(*square.bounds(*photo.size))


def _corners(square: Square, scale: float) -> list[tuple[float, float]]:
    reach = square.side / 2
    sine, cosine = math.sin(square.angle), math.cos(square.angle)
    return [
        ((square.x + x * cosine - y * sine) / scale, (square.y + x * sine + y * cosine) / scale)
        for x, y in ((-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach))
    ]


def _image(pixels: Any) -> Any:
    """An image of float [h, w, 3] in [0, 1]."""
    import PIL.Image

    return PIL.Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8))


def _shrunk(image: Any) -> Any:
    image.thumbnail((CLOSE, CLOSE))
    return image


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
