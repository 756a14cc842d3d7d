"""The parameters of defenders that follow gradients step by step, and what they are for the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.fields import Count, Epsilon, Fraction01, MaybeChannels, as_tuple, nested

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge
    from linkbench.defenders.objectives import Objective
    from linkbench.defenders.pgd import Ascent
    from linkbench.defenders.sight import Sight


Steps = Annotated[Count, Field(description="gradient steps")]


class Stepped(Defender):
    """A defender that follows a gradient in steps, each projected into `epsilon`."""

    epsilon: Epsilon = 0.01
    steps: Steps = 20
    step_size: Epsilon | None = Field(default=None, description="move of a pixel per step; default 2.5 epsilon / steps")
    optimiser: Literal["sign", "adam"] = Field("sign", description="signed steps, or Adam as in the paper")
    random_start: bool = Field(False, description="begin at a random point within the budget, not at the photo")
    through: bool = Field(default=False, description="optimise through the publication channel")

    def optimises_through(self) -> bool:
        return self.through


class Iterated(Stepped):
    """A defender that climbs: projected steps within `epsilon`, through any channel, toward unseen networks too."""

    norm: Literal["inf", 2] = Field(
        "inf",
        description="of the budget: epsilon bounds the change of each pixel, or (2) the length of the whole change",
    )
    restarts: Annotated[Count, Field(description="tries; the best by the objective is kept, photo by photo")] = 1
    over: MaybeChannels = nested(
        "channel", [], "channels, one of which each photo passes at each step, drawn anew: optimise for all of them"
    )
    qualities: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = Field(
        (), description="lowest and highest JPEG quality, one of which is drawn for each photo and step"
    )
    momentum: float = Field(0.0, ge=0, le=2, description="MI: what is kept of earlier gradients; 1 in its paper")
    diversity: Fraction01 = Field(0.0, description="DI: probability of a random smaller size and place at each step")
    translation: Annotated[int, Field(ge=1, le=63)] = Field(
        1, description="TI: width in pixels, odd, of the blur of gradients; 1: none; 15 at 299 pixels in its paper"
    )
    scales: Annotated[int, Field(ge=1, le=10)] = Field(
        1, description="SI: darker copies whose gradients are averaged, each half as bright; 5 in its paper"
    )
    neighbours: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="VT: random photos nearby that tell how gradients vary; 20 in its paper"
    )

    @field_validator("qualities")
    @classmethod
    def _range(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value and (len(value) != 2 or not 1 <= value[0] <= value[1] <= 100):
            raise ValueError(f"expected the lowest and the highest quality, 1 to 100, found {list(value)}")
        return value

    @field_validator("translation")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a blurring kernel has a pixel in its middle: expected an odd number, found {value}")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Iterated:
        if self.through and (self.over or self.qualities):
            raise ValueError("'through' optimises for the channel in which photos appear, 'over' and 'qualities' for "
                             "any of several: leave one of them out")  # fmt: skip
        if self.norm == 2 and self.optimiser == "adam":
            raise ValueError("optimiser adam moves every pixel by itself: use optimiser sign in the 2-norm, which then "
                             "moves along the gradient")  # fmt: skip
        if self.momentum and self.optimiser == "adam":
            raise ValueError("optimiser adam keeps a momentum of its own: leave 'momentum' out, or use optimiser sign")
        return self

    def budget(self) -> Budget:
        return Budget("linf" if self.norm == "inf" else "l2", self.epsilon)

    def aim(self, photos: Tensor, knowledge: Knowledge) -> tuple[Sight, Objective]:
        """How it sees photos, and what it climbs."""
        raise NotImplementedError

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.defenders.pgd import ascend

        return ascend(photos, *self.aim(photos, knowledge), self.ascent(), knowledge)

    def reached(self, photos: Tensor, changed: Tensor, knowledge: Knowledge) -> Tensor | None:
        from linkbench.defenders.pgd import reached

        return reached(changed, *self.aim(photos, knowledge))

    def ascent(self) -> Ascent:
        """How to climb."""
        from linkbench.defenders.pgd import Ascent
        from linkbench.defenders.transfer import Transfer

        transfer = Transfer(self.momentum, self.diversity, self.translation, self.scales, self.neighbours)
        return Ascent(
            self.epsilon, self.steps, self.step_size, self.optimiser, self.random_start, self.restarts, transfer,
            euclidean=self.norm == 2,
        )  # fmt: skip

    def sight(self, knowledge: Knowledge, phenotype: str | None = None) -> Sight:
        """The predictor, or of it one phenotype's, behind the channels that are optimised for."""
        from linkbench.defenders.pgd import seen
        from linkbench.defenders.sight import Sight
        from linkbench.registry.spec import nested_plugin

        channels = tuple(nested_plugin(value, "channel").through for value in self.over)
        low_high = (self.qualities[0], self.qualities[1]) if self.qualities else None
        return Sight(seen(knowledge, self.through, phenotype), channels, low_high)
