"""A classifier of the gallery's people on top of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Identifier

if TYPE_CHECKING:
    from linkbench.api.data import Array
    from linkbench.api.gallery import Faces, Gallery


class Linear(Identifier):
    """Multinomial logistic regression on the embeddings; a person's score is the log-probability.

    The embeddings are centred and scaled to a mean square of 1 per number first, so that `penalty` means the same for
    every network. The minimum is unique; it is searched for without random numbers.
    """

    penalty: Annotated[float, Field(gt=0, le=1e6)] = Field(
        default=1.0, description="half the squared weights count this much against the summed loss of the photos"
    )

    def learn(self, gallery: Gallery) -> Any:
        """Mean and scale of the embeddings, weights [D, people] and offsets [people]."""
        from linkbench.models import logistic

        middle, scale = logistic.scaled(gallery.embeddings)
        known = (gallery.embeddings - middle) / scale
        axes = logistic.within(known)  # which are fewer than numbers in an embedding
        found = logistic.fit(known @ axes.T, gallery.who, gallery.people, self.penalty)
        return middle, scale, axes.T @ found[:-1], found[-1]

    def score(self, probes: Faces, learned: Any) -> Array:
        import numpy as np

        assert probes.embeddings is not None
        middle, scale, weights, offsets = learned
        logits = (probes.embeddings - middle) / scale @ weights + offsets
        logits -= logits.max(axis=1, keepdims=True)
        out: Array = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return out
