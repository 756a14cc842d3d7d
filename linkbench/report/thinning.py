"""Curves with fewer points than were measured."""

from __future__ import annotations


def thin(length: int, most: int, positions: list[float]) -> list[int]:
    """At most `most` indices of a curve, both ends kept, evenly spread over its positions (sorted)."""
    if length <= most:
        return list(range(length))
    low, high = positions[0], positions[-1]
    gap = (high - low) / (most - 1)
    kept, following = [0], low + gap
    for index in range(1, length - 1):
        if positions[index] >= following and len(kept) < most - 1:
            kept.append(index)
            following = max(following + gap, positions[index] + gap / 2)
    return [*kept, length - 1]
