"""What is measured of every cell: the section `measure` of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

MOST = 10_000_000_000
"""Of a population: there are not so many people."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def by_form(*forms: str) -> Discriminator:
    """Which member of a union a value is meant for, by its form, so that a wrong one is reported once."""
    names = {"<mapping>": (dict, BaseModel), "<list>": (list,), "<word>": (str,)}
    return Discriminator(lambda value: next((form for form in forms if isinstance(value, names[form])), "<number>"))


class SizeRange(Strict):
    """Population sizes in steps: `{from: 10, to: all, step: 10}`, or growing by a factor."""

    start: int = Field(alias="from", ge=1, le=MOST)
    stop: Annotated[Annotated[int, Tag("<number>")] | Annotated[Literal["all"], Tag("<word>")], by_form("<word>")] = (
        Field("all", alias="to")
    )
    step: int | None = Field(None, ge=1)
    factor: float | None = Field(None, gt=1)

    @model_validator(mode="after")
    def _one_way(self) -> SizeRange:
        if (self.step is None) == (self.factor is None):
            raise ValueError("give exactly one of 'step' and 'factor'")
        return self


Size = Annotated[
    Annotated[int, Field(ge=1, le=MOST), Tag("<number>")]
    | Annotated[Literal["all"], Tag("<word>")]
    | Annotated[SizeRange, Tag("<mapping>")],
    by_form("<word>", "<mapping>"),
]
"""A population size, all genomes, or a range of sizes."""


class Measure(Strict):
    """What is measured of every cell."""

    top_k: list[Annotated[int, Field(ge=1, le=MOST)]] = Field([1, 3, 5], min_length=1, description="k of success@k")
    sizes: list[Size] = Field(
        [10, 20, 50, 100, "all"], min_length=1, description="population sizes n of the success curve"
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples behind every interval")
    level: float = Field(0.95, gt=0.5, lt=1, description="coverage of the intervals")

    fpir: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.01, 0.001],
        min_length=1,
        description="false positive identification rates: how often a genome is claimed where the right one is missing",
    )
    alike: list[Annotated[str, Field(min_length=1)]] = Field(
        [],
        description="also success among candidates like the true one: names of phenotypes and 'ancestry', joined by "
        "'+', such as sex+ancestry",
    )
    detect: bool = Field(
        False, description="also whether protected photos can be told from others by who runs the tool himself"
    )
    sanity: bool = Field(
        False, description="also whether defenders that follow gradients get further with more effort, as they must"
    )
    radii: list[Annotated[float, Field(ge=0, le=1000)]] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8],
        description="2-norms of a change, in [0, 1] pixel units, under which the success of models that vote (recipe "
        "smoothed) is certified; none: no certificates",
    )
    prior: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.5, 0.01], description="how likely the right genome is in the pile, for the precision of claims"
    )

    def open_sizes(self, population: int) -> list[int]:
        """Sizes at which claims are measured: of those asked for a geometric selection, at most MOST_OPEN."""
        return selection([size for size in self.population_sizes(population) if size < population], MOST_OPEN)

    def population_sizes(self, population: int) -> list[int]:
        """All sizes asked for, ascending, without those above the population."""
        out: set[int] = set()
        for size in self.sizes:
            if isinstance(size, SizeRange):
                out.update(_range(size, population))
            else:
                out.add(population if size == "all" else size)
        return sorted(size for size in out if size <= population)


MOST_OPEN = 8
"""Population sizes at which claims are measured."""


def selection(sizes: list[int], most: int) -> list[int]:
    """At most so many of the sizes (ascending), in about equal steps by ratio, the ends among them."""
    if len(sizes) <= most:
        return sizes
    first, last = sizes[0], sizes[-1]
    wanted = [first * (last / first) ** (step / (most - 1)) for step in range(most)]
    return sorted({min(sizes, key=lambda size: abs(size - near)) for near in wanted})


def _range(sizes: SizeRange, population: int) -> Iterator[int]:
    stop = population if sizes.stop == "all" else min(sizes.stop, population)
    if sizes.step is not None:
        yield from range(sizes.start, stop + 1, sizes.step)
    else:
        size = float(sizes.start)
        while round(size) <= stop:
            yield round(size)
            size *= sizes.factor or 2.0
    if sizes.stop == "all":
        yield population
