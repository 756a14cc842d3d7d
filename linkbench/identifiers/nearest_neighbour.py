"""The attack of the cloaking papers: whoever looks most alike to the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from linkbench.api.base import Identifier

if TYPE_CHECKING:
    from linkbench.api.data import Array
    from linkbench.api.gallery import Faces, Gallery

BLOCK = 1 << 24
"""Distances held at a time."""


class NearestNeighbour(Identifier):
    """A person's score is minus the distance of the probe to the nearest of that person's photos in the gallery."""

    distance: Literal["euclidean", "cosine"] = Field(
        default="euclidean", description="between embeddings; cosine: between those scaled to length 1"
    )

    def learn(self, gallery: Gallery) -> Any:
        """The gallery's embeddings, person by person, and where each person's begin."""
        import numpy as np

        order = np.argsort(gallery.who, kind="stable")
        return self._placed(gallery.embeddings)[order], np.searchsorted(gallery.who[order], np.arange(gallery.people))

    def score(self, probes: Faces, learned: Any) -> Array:
        """Each person's part is looked at alone, so a gallery of fewer people only drops columns."""
        import numpy as np

        assert probes.embeddings is not None
        known, starts = learned
        places = self._placed(probes.embeddings)
        out = np.empty((len(places), len(starts)))
        lengths = np.square(known).sum(axis=1)
        step = max(1, BLOCK // len(known))
        for start in range(0, len(places), step):
            part = places[start : start + step]
            squares = np.square(part).sum(axis=1)[:, None] + lengths - 2 * part @ known.T
            out[start : start + step] = -np.sqrt(np.minimum.reduceat(squares, starts, axis=1).clip(min=0))
        return out

    def _placed(self, embeddings: Array) -> Array:
        import numpy as np

        if self.distance == "euclidean":
            return embeddings
        length = np.linalg.norm(embeddings, axis=1, keepdims=True)
        placed: Array = embeddings / np.where(length > 0, length, 1.0)
        return placed
