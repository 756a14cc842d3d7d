"""Attack all phenotypes at once: what makes the true genome a bad match, not what makes each prediction wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from linkbench.api.fields import Count
from linkbench.defenders.iterated import Iterated

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge
    from linkbench.defenders.objectives import Objective
    from linkbench.defenders.sight import Sight


class JointPGD(Iterated):
    """Minimise the linkage score of the true genome by projected gradients. Venkatesaramani et al. 2021, Eq. 5.

    It fools who does not know the tool. The change depends on the true genome and tells of it: an attacker who has run
    the tool on people whom he knows reads it, best of all from `rank`. See docs/methods.md, and `decoy-pgd`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "genome", "reference"})

    objective: Literal["paper", "expected", "rank"] = Field(
        default="paper", description="the paper's Eq. 5, the expected score, or the rank in a reference population"
    )
    target_rank: Count | None = Field(
        default=None, description="leave a photo alone once its genome stands behind this rank of the reference"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4}

    def spares(self) -> bool:
        return self.target_rank is not None

    def aim(self, photos: Tensor, knowledge: Knowledge) -> tuple[Sight, Objective]:
        from linkbench.defenders import objectives

        assert knowledge.log_p is not None
        ranked = self.objective == "rank" or self.target_rank is not None
        if ranked:
            assert knowledge.reference is not None
            combinations = objectives.Combinations(knowledge.schema, photos.device)
            ranks = objectives.rank_table(knowledge.log_p, knowledge.reference, combinations)
        objective: objectives.Objective
        if self.objective == "rank":
            objective = objectives.Rank(combinations, ranks)
        else:
            objective = (objectives.Paper if self.objective == "paper" else objectives.Expected)(knowledge.log_p)
        if self.target_rank is not None:
            objective = objectives.Until(objective, combinations, ranks, self.target_rank)
        return self.sight(knowledge), objective
