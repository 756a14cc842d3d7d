"""How many photos go through a network at once. Imports no torch: runs are planned by it."""

from __future__ import annotations


def batch_size(size: int, device: str) -> int:
    """How many photos of this edge go through a network at once without gradients."""
    return max(1, min(4096, (1 << (20 if device == "cpu" else 24)) // size**2))
