"""Photos that look to a network like another class: poison for whoever trains on them with the true labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from linkbench.api.fields import Epsilon, PhenotypeName
from linkbench.defenders.iterated import Stepped, Steps

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class TargetedPoison(Stepped):
    """Projected gradients on a trained surrogate toward the next variant, cyclically. Fowl et al. 2021 (TAP).

    Every photo of a variant moves toward the same other variant, so that the labels that the attacker trains with are
    permuted against what the photos show. Where the variant is unknown, the predicted one stands for it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})

    phenotype: PhenotypeName | None = Field(default=None, description="whose labels are permuted; null: all at once")
    epsilon: Epsilon = 8 / 255
    steps: Steps = 50

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4}

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.api.data import most_likely
        from linkbench.defenders.pgd import Ascent, ascend, seen
        from linkbench.defenders.sight import Sight
        from linkbench.defenders.toward import Toward

        assert knowledge.labels is not None
        predictor = seen(knowledge, self.through)
        schema, labels = knowledge.schema, knowledge.labels.to(photos.device)
        if bool((labels < 0).any()):
            with torch.no_grad():
                likely = torch.from_numpy(most_likely(predictor(photos).cpu().numpy(), schema))
            labels = torch.where(labels < 0, likely.to(photos.device), labels)
        names = schema.names if self.phenotype is None else (self.phenotype,)
        columns = [
            schema.slices[name].start + (labels[:, schema.names.index(name)] + 1) % len(schema[name]) for name in names
        ]
        how = Ascent(self.epsilon, self.steps, self.step_size, self.optimiser, self.random_start)
        return ascend(photos, Sight(predictor), Toward(torch.stack(columns, dim=1)), how, knowledge)
