"""The defender itself; replace what `perturb` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from linkbench import Defender, Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench import Knowledge


class Template(Defender):
    """Moves every pixel towards the photo's mean colour, and a little at random."""

    # what the harness shows you in `knowledge`: any of predictor, genome, reference, labels
    needs: ClassVar[frozenset[str]] = frozenset()

    epsilon: Epsilon = 0.03
    random: Annotated[float, Field(ge=0, le=1, description="part of the budget that is spent at random")] = 0.25

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        """float [n, 3, h, w] in [0, 1] to the same; no photo's result depends on another photo."""
        mean = photos.mean(dim=(2, 3), keepdim=True)
        aimed = (mean - photos).clamp(-self.epsilon, self.epsilon)
        noise = knowledge.uniform("template", tuple(photos.shape[1:]), photos) * self.epsilon
        return photos + (1 - self.random) * aimed + self.random * noise
