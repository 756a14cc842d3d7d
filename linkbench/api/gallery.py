"""What an identifier is given: named photos to learn from, and photos to name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkbench.api.data import Array

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Photos


@dataclass(frozen=True)
class Faces:
    """Photos as an identifier sees them; what it does not see is None.

    embeddings: float64 [n, D], the features of the attacker's network; photos: in batches, as published.
    """

    embeddings: Array | None
    photos: Photos | None


@dataclass(frozen=True)
class Gallery:
    """Photos of known people.

    who: int64 [g], the person in each photo, 0 to people-1, each at least once; network() -> a copy of the attacker's
    trained network, photos to logits of the people it was trained on, weights free to change (None unless the
    identifier sees `photos`); device and seed are for those who train.
    """

    faces: Faces
    who: Array
    people: int
    network: Callable[[], nn.Module] | None
    device: str
    seed: int

    @property
    def embeddings(self) -> Array:
        """float64 [g, D]."""
        assert self.faces.embeddings is not None
        return self.faces.embeddings
