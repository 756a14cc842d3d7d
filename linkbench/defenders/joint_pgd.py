"""Attack all phenotypes at once: what makes the true genome a bad match, not what makes each prediction wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Epsilon

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class JointPGD(Defender):
    """Minimise the linkage score of the true genome by projected gradients. Venkatesaramani et al. 2021, Eq. 5."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "genome", "reference"})

    epsilon: Epsilon = 0.01
    steps: Annotated[int, Field(ge=1, description="gradient steps")] = 20
    step_size: Epsilon | None = Field(default=None, description="move of a pixel per step; default 2.5 epsilon / steps")
    optimiser: Literal["sign", "adam"] = Field("sign", description="signed steps, or Adam as in the paper")
    objective: Literal["paper", "expected", "rank"] = Field(
        default="paper", description="the paper's Eq. 5, the expected score, or the rank in a reference population"
    )
    random_start: bool = Field(False, description="begin at a random point within the budget, not at the photo")
    restarts: Annotated[int, Field(ge=1, description="tries; the best by the objective is kept, photo by photo")] = 1
    through: bool = Field(default=False, description="optimise through the publication channel")
    target_rank: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="leave a photo alone once its genome stands behind this rank of the reference"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4}

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.defenders import objectives
        from linkbench.defenders.pgd import Ascent, ascend, seen

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
        how = Ascent(self.epsilon, self.steps, self.step_size, self.optimiser, self.random_start, self.restarts)
        return ascend(photos, seen(knowledge, self.through), objective, how, knowledge)
