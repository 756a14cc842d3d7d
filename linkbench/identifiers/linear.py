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
        import numpy as np
        import torch

        middle = gallery.embeddings.mean(axis=0)
        scale = float(np.sqrt(np.square(gallery.embeddings - middle).mean())) or 1.0
        # the best weights lie among the directions of the photos, which are fewer than numbers in an embedding
        axes = np.linalg.svd((gallery.embeddings - middle) / scale, full_matrices=False)[2]
        known = torch.from_numpy((gallery.embeddings - middle) / scale @ axes.T)
        who = torch.from_numpy(np.ascontiguousarray(gallery.who))
        weights = torch.zeros(known.shape[1], gallery.people, dtype=torch.float64, requires_grad=True)
        offsets = torch.zeros(gallery.people, dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS(
            [weights, offsets], max_iter=500, tolerance_grad=1e-6, tolerance_change=1e-12, line_search_fn="strong_wolfe"
        )

        def loss() -> torch.Tensor:
            search.zero_grad()
            total = torch.nn.functional.cross_entropy(known @ weights + offsets, who, reduction="sum")
            total = total + 0.5 * self.penalty * weights.square().sum()
            total.backward()  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            search.step(loss)  # type: ignore[no-untyped-call]
        return middle, scale, axes.T @ weights.detach().numpy(), offsets.detach().numpy()

    def score(self, probes: Faces, learned: Any) -> Array:
        import numpy as np

        assert probes.embeddings is not None
        middle, scale, weights, offsets = learned
        logits = (probes.embeddings - middle) / scale @ weights + offsets
        logits -= logits.max(axis=1, keepdims=True)
        out: Array = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return out
