"""Attack one phenotype's predictor and leave the others alone: the paper's weaker defence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from linkbench.api.fields import PhenotypeName
from linkbench.defenders.iterated import Iterated

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge
    from linkbench.defenders.objectives import Objective
    from linkbench.defenders.sight import Sight


class SinglePGD(Iterated):
    """Maximise the cross-entropy of one phenotype's true variant (where unknown: of the predicted one). Madry 2018."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})

    phenotype: PhenotypeName = Field(description="the phenotype whose predictor is attacked")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"phenotype": "sex", "steps": 4}

    def aim(self, photos: Tensor, knowledge: Knowledge) -> tuple[Sight, Objective]:
        import torch

        from linkbench.defenders.objectives import CrossEntropy
        from linkbench.defenders.pgd import seen

        assert knowledge.labels is not None
        labels = knowledge.labels[:, list(knowledge.schema).index(self.phenotype)].to(photos.device)
        if bool((labels < 0).any()):
            with torch.no_grad():
                predicted = seen(knowledge, self.through, self.phenotype)(photos).argmax(dim=1)
            labels = torch.where(labels < 0, predicted, labels)
        return self.sight(knowledge, self.phenotype), CrossEntropy(labels)
