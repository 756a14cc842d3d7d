"""What cannot be bettered: points to which no other is as good in both ways and better in one."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]], near: float = 0.0) -> list[int]:
    """Places of the points, x high and y low being good, that no other dominates; differences up to `near` are none."""
    return [
        place
        for place, (x, y) in enumerate(points)
        if not any(
            (other_x >= x - near and other_y <= y + near) and (other_x > x + near or other_y < y - near)
            for other_x, other_y in points
        )
    ]
