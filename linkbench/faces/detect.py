"""Faces in photos, found by OpenCV's Haar cascades (Viola and Jones 2001; Lienhart and Maydt 2002).

One cascade sees faces in wallpaper. Two that agree hardly do, so a face is what two of three frontal cascades see in
the same place. Where no two agree, harder looks follow, one after the other: the photo turned, the best that any one
cascade saw, and profiles. Small faces of group photos are looked for at a larger size.
"""

from __future__ import annotations

import functools
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.errors import MissingExtraError
from linkbench.faces.geometry import Face, Point, usual_eyes

if TYPE_CHECKING:
    from linkbench.faces.photo import Photo

FRONTAL = ("frontalface_alt2", "frontalface_alt", "frontalface_default")
PROFILE = "profileface"
COARSE, FINE = 256, 1024
"""Longest side of the photo for faces that fill it, and for those of a group, pixels."""
LEAST = 24
"""Side of the smallest face that is looked for, pixels of the shrunk photo: the cascades' own."""
OVERLAP = 0.3
"""Intersection over union from which two squares are the same face."""
TURNS = (-25.0, 25.0)
"""Degrees by which a photo in which nothing was found is turned."""
EYE_SIDE = 160
"""Side in pixels to which a face is brought before eyes are looked for."""


ONE_AT_A_TIME = threading.Lock()
"""OpenCV's cascades keep the photo that they look at: two threads must not use one."""


class Seen(NamedTuple):
    """One square that a cascade saw: left, top, side, how sure it was, and which cascade."""

    left: float
    top: float
    side: float
    weight: float
    by: str


def find(photo: Photo) -> list[Face]:
    """The faces of a photo, the largest first. Raises MissingExtraError without OpenCV."""
    grey = photo.small(FINE)
    scale = max(photo.size) / max(grey.shape)
    coarse = _shrunk(grey, COARSE)
    groups = _agreed(_frontal(coarse), max(grey.shape) / max(coarse.shape))
    if max(grey.shape) > 2 * COARSE:
        groups = _merged(groups + _small(grey))
    faces = [_face(group, grey) for group in groups] or _harder(coarse, grey)
    return sorted((_scaled(face, scale) for face in faces), key=lambda face: -face.side)


def _small(grey: Array) -> list[list[Seen]]:
    """Faces too small for the coarse look: what one cascade sees anywhere and another in that place."""
    most = LEAST * max(grey.shape) // COARSE * 3 // 2
    out = []
    for first in _cascade(FRONTAL[0], grey, most):
        around = round(0.4 * first.side)
        left, top = (max(0, round(edge) - around) for edge in (first.left, first.top))
        part = grey[top : top + round(first.side) + 2 * around, left : left + round(first.side) + 2 * around]
        seen = [first]
        for name in FRONTAL[1:]:
            seen += [each._replace(left=each.left + left, top=each.top + top) for each in _cascade(name, part)]
        out += [group for group in _agreed(seen, 1.0) if group[0] == first]
    return out


def _harder(coarse: Array, grey: Array) -> list[Face]:
    """At most one face, where no two frontal cascades agreed: the head may be tilted, or turned away."""
    scale = max(grey.shape) / max(coarse.shape)
    for turn in TURNS:
        groups = _agreed(_frontal(_turned(coarse, turn)), 1.0)
        if groups:
            largest = max(groups, key=lambda group: group[0].side)
            return [_tilted(_face(largest, _turned(coarse, turn)), math.radians(turn), coarse, scale)]
    seen = _frontal(coarse) or [*_cascade(PROFILE, coarse), *_mirrored(PROFILE, coarse)]
    if not seen:
        return []
    return [_face([_enlarged(max(seen, key=lambda each: each.weight), scale)], grey)]


def _tilted(face: Face, angle: float, coarse: Array, scale: float) -> Face:
    """A face found in the photo turned by an angle (radians), where it lies in the photo as it is."""
    height, width = coarse.shape
    sine, cosine = math.sin(angle), math.cos(angle)

    def back(x: float, y: float) -> Point:
        x, y = x - width / 2, y - height / 2
        return (x * cosine - y * sine + width / 2) * scale, (x * sine + y * cosine + height / 2) * scale

    x, y = back(face.x, face.y)
    return Face(x, y, face.side * scale, (back(*face.eyes[0]), back(*face.eyes[1])), face.eyes_found, face.votes)


@functools.cache
def _loaded(name: str) -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("Finding faces", "opencv-python-headless", "faces") from None
    if not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has none
        raise MissingExtraError("Finding faces (OpenCV 4)", "opencv-python-headless<5", "faces")
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"haarcascade_{name}.xml"))


def _frontal(grey: Array) -> list[Seen]:
    return [seen for name in FRONTAL for seen in _cascade(name, grey)]


def _cascade(name: str, grey: Array, most: int | None = None) -> list[Seen]:
    """What one cascade sees in a grey photo uint8 [h, w]; most: side of the largest face, pixels."""
    cascade = _loaded(name)  # says what is missing, before cv2 is imported below
    import cv2

    border = max(grey.shape) // 8  # faces that the photo's edge cuts
    framed = cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE)
    with ONE_AT_A_TIME:
        squares, _, weights = cascade.detectMultiScale3(
            cv2.equalizeHist(framed),
            scaleFactor=1.1,
            minNeighbors=3,
            minSize=(LEAST, LEAST),
            maxSize=(most or 0, most or 0),
            outputRejectLevels=True,
        )
    found = zip(np.reshape(squares, (-1, 4)).tolist(), np.ravel(weights).tolist(), strict=True)
    return [Seen(x - border, y - border, side, weight, name) for (x, y, side, _), weight in found]


def _mirrored(name: str, grey: Array) -> list[Seen]:
    """What a cascade sees in the mirror: profiles that look the other way."""
    width = grey.shape[1]
    return [
        each._replace(left=width - each.left - each.side)
        for each in _cascade(name, np.ascontiguousarray(grey[:, ::-1]))
    ]


def _agreed(seen: list[Seen], scale: float) -> list[list[Seen]]:
    """Groups of squares in one place that two cascades or more saw."""
    groups = _merged([[_enlarged(each, scale)] for each in seen])
    return [group for group in groups if len({each.by for each in group}) > 1]


def _merged(groups: list[list[Seen]]) -> list[list[Seen]]:
    out: list[list[Seen]] = []
    for group in groups:
        near = next((other for other in out if _overlap(other[0], group[0]) > OVERLAP), None)
        if near is None:
            out.append(list(group))
        else:
            near.extend(group)
    return out


def _overlap(one: Seen, other: Seen) -> float:
    """Intersection over union, 1 too where one lies inside the other: a part of a face is no face."""
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    shared = max(across, 0.0) * max(down, 0.0)
    if shared > 0.8 * min(one.side, other.side) ** 2:
        return 1.0
    return shared / (one.side**2 + other.side**2 - shared)


def _enlarged(seen: Seen, scale: float) -> Seen:
    return seen._replace(left=seen.left * scale, top=seen.top * scale, side=seen.side * scale)


def _face(group: list[Seen], grey: Array) -> Face:
    """The mean of a group's squares, with eyes."""
    side = float(np.mean([each.side for each in group]))
    x = float(np.mean([each.left + each.side / 2 for each in group]))
    y = float(np.mean([each.top + each.side / 2 for each in group]))
    eyes = _eyes(grey, x, y, side)
    return Face(x, y, side, eyes or usual_eyes(x, y, side), eyes is not None, len({each.by for each in group}))


def _eyes(grey: Array, x: float, y: float, side: float) -> tuple[Point, Point] | None:
    """Both eyes of a face as OpenCV's eye cascade sees them, if they lie where eyes can; else None."""
    import cv2

    left, top = max(0, round(x - side / 2)), max(0, round(y - side / 2))
    patch = grey[top : round(y + 0.1 * side), left : round(x + side / 2)]
    if min(patch.shape) < LEAST // 2:
        return None
    zoom = EYE_SIDE / side
    patch = cv2.resize(patch, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    found = [
        (left + (each.left + each.side / 2) / zoom, top + (each.top + each.side / 2) / zoom, each.weight)
        for each in _cascade("eye", patch, most=EYE_SIDE // 2)
    ]
    usual = usual_eyes(x, y, side)
    chosen = []
    for eye in usual:
        near = [each for each in found if math.dist(each[:2], eye) < 0.14 * side]
        if not near:
            return None
        best = max(near, key=lambda each: each[2])
        chosen.append((best[0], best[1]))
    return chosen[0], chosen[1]


def _scaled(face: Face, scale: float) -> Face:
    (a, b), (c, d) = face.eyes
    eyes = ((a * scale, b * scale), (c * scale, d * scale))
    return face._replace(x=face.x * scale, y=face.y * scale, side=face.side * scale, eyes=eyes)


def _shrunk(grey: Array, longest: int) -> Array:
    """The photo with this longest side; small ones are enlarged, as cascades see nothing smaller than LEAST."""
    import cv2

    part = longest / max(grey.shape)
    size = (max(1, round(grey.shape[1] * part)), max(1, round(grey.shape[0] * part)))
    how = cv2.INTER_AREA if part < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=how))


def _turned(grey: Array, degrees: float) -> Array:
    """The photo turned around its middle: what was turned clockwise by as many degrees stands upright."""
    import cv2

    height, width = grey.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))
