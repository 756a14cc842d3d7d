"""The attacker's network trained on with the gallery itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from linkbench.api.base import Identifier
from linkbench.api.fields import Count
from linkbench.recipes.standard import Rate, Strength

if TYPE_CHECKING:
    from linkbench.api.data import Array
    from linkbench.api.gallery import Faces, Gallery


class FineTuned(Identifier):
    """A classifier by angles above the network's features, both trained on the gallery's photos.

    Each person's direction starts at the mean of their features (weight imprinting, Qi et al. 2018). A person's score
    is scale times the cosine. Only the layers that `last` counts are changed.
    """

    sees: ClassVar[frozenset[str]] = frozenset({"photos"})

    last: Annotated[int, Field(ge=0, le=1_000)] | None = Field(
        default=None, description="how many of the last layers with weights learn besides the classifier; null: all"
    )
    epochs: Count = Field(default=15, description="passes over the gallery")
    learning_rate: Rate | None = Field(default=None, description="highest; null: half of what suits the network")
    batch: Count | None = Field(default=None, description="photos per step; null: a tenth of all, within 16 to 32")
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(default=0.05, description="of AdamW")
    augment: Strength = Field(default=1.0, description="strength of flips, shifts, zoom and light; 0: none")
    scale: Annotated[float, Field(gt=0, le=256)] = Field(default=16.0, description="the logits are this times a cosine")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"epochs": 1}

    def learn(self, gallery: Gallery) -> Any:
        """The trained classifier, a torch module in evaluation mode."""
        from linkbench.models.tuning import Tuning, tuned

        assert gallery.network is not None
        assert gallery.faces.photos is not None
        how = Tuning(**self.model_dump())
        classifier = tuned(gallery.network(), gallery.faces.photos, gallery.who, gallery.people, how,
                           device=gallery.device, seed=gallery.seed)  # fmt: skip
        return classifier, gallery.device

    def score(self, probes: Faces, learned: Any) -> Array:
        from linkbench.models.tuning import outputs

        assert probes.photos is not None
        classifier, device = learned
        return outputs(classifier, probes.photos, device)
