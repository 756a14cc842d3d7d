"""Look like somebody else: a change that has nothing to do with the true genome cannot tell of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from linkbench.api.fields import Epsilon, MaybePhenotypes
from linkbench.defenders.iterated import Iterated

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet
    from linkbench.defenders.objectives import Objective
    from linkbench.defenders.sight import Sight


class DecoyPGD(Iterated):
    """Match the predictors' outputs for a secret random other person's photo, the same one for all photos of a person.

    Aiming away from the true genome tells of it: whoever runs the tool on people whom he knows learns to read the
    change. A decoy is drawn without looking at the photo, so that what the predictors say of a matched photo is
    independent of the truth. Every member of an ensemble is matched by itself. See docs/methods.md.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"predictor"})

    epsilon: Epsilon = 0.025
    objective: Literal["matched", "features", "variants", "constant", "independent"] = Field(
        default="matched",
        description="all that predictors say of the decoy's photo, that and what their last layers see in it, the "
        "variants they see in it, for everybody the variants that most people show, or, without a decoy, nothing that "
        "others could learn to read",
    )
    keep: MaybePhenotypes = Field(
        (), description="phenotypes that the decoy shares with the photo, as predicted: less to change, but they leak"
    )
    tolerance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="leave a photo alone once it is this close to its decoy, in nats over all phenotypes"
    )

    @model_validator(mode="after")
    def _keeps(self) -> DecoyPGD:
        if self.keep and self.objective in ("constant", "independent"):
            raise ValueError(f"objective {self.objective!r} draws no decoy who could share a phenotype with the photo: "
                             f"leave 'keep' out")  # fmt: skip
        return self

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 4}

    def learn(self, studied: StudySet) -> Any:
        """Who may become decoys, or what gives people away. Raises PluginError with fewer than two people."""
        from linkbench.defenders.decoys import find_pool
        from linkbench.defenders.independence import find_critics

        if self.objective == "independent":
            return find_critics(studied, self.sight, self.ascent())
        return find_pool(studied, features=self.objective == "features")

    def spares(self) -> bool:
        return self.tolerance is not None

    def aim(self, photos: Tensor, knowledge: Knowledge) -> tuple[Sight, Objective]:
        from dataclasses import replace

        from linkbench.defenders import decoys
        from linkbench.defenders.independence import Critics, Silent
        from linkbench.errors import PluginError

        pool = knowledge.learned
        looks, _ = decoys.side_by_side(knowledge.predictor)
        if isinstance(pool, Critics):
            return self.sight(replace(knowledge, predictor=looks)), Silent(pool, self.tolerance)
        if not isinstance(pool, decoys.Pool):
            raise PluginError("decoy-pgd chooses decoys among people whom it has studied, but was given none")
        chosen = decoys.meet(self.keep, photos, looks, pool, knowledge)
        match = decoys.Match(decoys.targets(self.objective, chosen, pool, knowledge.schema), self.tolerance)
        goal: Objective = match
        if self.objective == "features":
            assert pool.features is not None  # `learn` finds them for this objective
            goal = decoys.Resemble(match, pool.features[chosen], len(pool.scales))
            looks = decoys.with_features(looks, knowledge.predictor, pool.scales)
        return self.sight(replace(knowledge, predictor=looks)), goal
