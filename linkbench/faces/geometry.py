"""Where a face is, and the square around it that predictors are shown."""

from __future__ import annotations

import math
from typing import NamedTuple

FACE_SIDE = 0.54
"""Side of a detected face as part of the square's: the median over rendered faces, on which predictors are trained;
the middles of face and square coincide there to within a hundredth."""

EYE_HEIGHT, EYE_SPAN = 0.38, 0.42
"""Where eyes are in a detected face, as parts of its side: from its top, and their distance. Measured on CelebA, whose
photos are aligned by hand-checked eyes."""

Point = tuple[float, float]
"""x to the right and y down, pixels of the upright photo; the middle of the first pixel is (0.5, 0.5)."""


class Square(NamedTuple):
    """A square in the upright photo, pixels: its middle, its side, and by how many radians it is turned clockwise."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def bounds(self, width: int, height: int) -> tuple[int, int, int, int]:
        """left, top, right, bottom of the part of a photo that the square touches; empty where it lies outside."""
        reach = self.side / 2 * (abs(math.cos(self.angle)) + abs(math.sin(self.angle)))
        left, right = (min(max(edge, 0), width) for edge in (math.floor(self.x - reach), math.ceil(self.x + reach)))
        top, bottom = (min(max(edge, 0), height) for edge in (math.floor(self.y - reach), math.ceil(self.y + reach)))
        return left, top, right, bottom


class Face(NamedTuple):
    """A detected face: its middle and side in pixels of the upright photo, the eyes (the one that lies further left
    first), whether those were found or are where they usually lie, and how many detectors agree."""

    x: float
    y: float
    side: float
    eyes: tuple[Point, Point]
    eyes_found: bool
    votes: int

    @property
    def square(self) -> Square:
        """The square that predictors are shown: the eyes level, the face as large as in the photos of training."""
        (left_x, left_y), (right_x, right_y) = self.eyes
        angle = math.atan2(right_y - left_y, right_x - left_x)
        return Square(self.x, self.y, self.side / FACE_SIDE, angle)


def usual_eyes(x: float, y: float, side: float, angle: float = 0.0) -> tuple[Point, Point]:
    """Where eyes lie in a face with this middle and side that is turned by an angle."""
    up, half = (0.5 - EYE_HEIGHT) * side, EYE_SPAN * side / 2
    sine, cosine = math.sin(angle), math.cos(angle)
    middle = (x + up * sine, y - up * cosine)
    return ((middle[0] - half * cosine, middle[1] - half * sine), (middle[0] + half * cosine, middle[1] + half * sine))
