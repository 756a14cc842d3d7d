"""Attack one phenotype's predictor and leave the others alone: the paper's weaker defence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Epsilon, PhenotypeName

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class SinglePGD(Defender):
    """Maximise the cross-entropy of one phenotype's true variant (where unknown: of the predicted one). Madry 2018."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})

    phenotype: PhenotypeName = Field(description="the phenotype whose predictor is attacked")
    epsilon: Epsilon = 0.01
    steps: Annotated[int, Field(ge=1, description="gradient steps")] = 20
    step_size: Epsilon | None = Field(default=None, description="move of a pixel per step; default 2.5 epsilon / steps")
    optimiser: Literal["sign", "adam"] = Field("sign", description="signed steps, or Adam as in the paper")
    random_start: bool = Field(False, description="begin at a random point within the budget, not at the photo")
    restarts: Annotated[int, Field(ge=1, description="tries; the best by the objective is kept, photo by photo")] = 1
    through: bool = Field(default=False, description="optimise through the publication channel")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"phenotype": "sex", "steps": 4}

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.defenders.objectives import CrossEntropy
        from linkbench.defenders.pgd import Ascent, ascend, seen

        assert knowledge.labels is not None
        predictor = seen(knowledge, self.through, self.phenotype)
        labels = knowledge.labels[:, list(knowledge.schema).index(self.phenotype)].to(photos.device)
        if bool((labels < 0).any()):
            with torch.no_grad():
                predicted = predictor(photos).argmax(dim=1)
            labels = torch.where(labels < 0, predicted, labels)
        how = Ascent(self.epsilon, self.steps, self.step_size, self.optimiser, self.random_start, self.restarts)
        return ascend(photos, predictor, CrossEntropy(labels), how, knowledge)
