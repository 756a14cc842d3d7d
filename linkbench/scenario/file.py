"""What the scenario files of all tasks have in common, and the scenario whose every plugin is known to be good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, Tag, WithJsonSchema, model_validator

from linkbench.metrics.settings import Measure, Strict, by_form
from linkbench.registry.spec import Spec, every
from linkbench.scenario.tasks import DEFAULT, TASKS

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become folders: no slash, nothing hidden, no markup."""


def _different(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("the same number stands there twice")
    return values


def _known(task: str) -> str:
    if task not in TASKS:
        raise ValueError(f"must be {' or '.join(map(repr, TASKS))}")
    return task


TaskName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(TASKS)})]
"""What attackers do with the photos."""


class ModelEntry(Strict):
    """One predictor: an architecture, how it is trained, and the model that it starts from."""

    name: str = Field(pattern=NAME, description="how other parts of the file and the tables call it")
    architecture: Any = Field("small-cnn", description="an architecture, by name or with parameters")
    recipe: Any = Field("standard", description="a recipe, by name or with parameters")
    start: str | None = Field(None, description="name of a model above, whose weights this one starts from")
    sealed: bool = Field(False, description="no defender, recipe or poison ever sees it, nor one with its weights")
    role: Literal["opponent", "surrogate"] = Field(
        "opponent", description="surrogate: there for defenders to see; nobody links with it, so it has no rows"
    )

    @model_validator(mode="after")
    def _seen_or_not(self) -> ModelEntry:
        if self.sealed and self.role == "surrogate":
            raise ValueError("a surrogate is there to be seen, so it cannot be sealed; leave one of the two out")
        return self


class TaskFile(Strict):
    """What scenarios of every task have; lists of plugins are checked one by one afterwards."""

    linkbench: Literal[1] = Field(description="version of the scenario format")
    name: str = Field(pattern=NAME, description="names the results folder")
    seed: Annotated[
        Annotated[int, Tag("<number>")]
        | Annotated[list[int], Field(min_length=1), AfterValidator(_different), Tag("<list>")],
        by_form("<list>"),
    ] = Field(0, description="one seed, or several to repeat everything")
    task: TaskName = Field(DEFAULT, description="what attackers do with the photos")
    cohort: Any = Field(description="the people and their photos")
    defenders: Any = Field("none", description="who protects the photos to be linked, or those of the gallery")
    channels: Any = Field("float", description="what posting does to photos")
    measure: Measure = Measure()


class Model(NamedTuple):
    """A predictor of the scenario, its plugins resolved; sealed, role: as in `ModelEntry`."""

    name: str
    architecture: Spec
    recipe: Spec
    start: str | None
    sealed: bool = False
    role: str = "opponent"


class Scenario(NamedTuple):
    """A scenario whose every plugin and parameter is known to be good.

    specs: the plugins of every section of `SECTIONS`, none where the task has no such section; settings: the task's
    own settings by section, as plain JSON.
    """

    name: str
    task: str
    seeds: list[int]
    models: list[Model]
    specs: dict[str, list[Spec]]
    settings: dict[str, dict[str, Any]]
    measure: Measure

    @property
    def opponents(self) -> list[Model]:
        """The models that photos are linked with."""
        return [model for model in self.models if model.role == "opponent"]

    def resolved(self) -> dict[str, Any]:
        """The scenario as plain JSON with all defaults written out."""
        sections = {section: [spec._asdict() for spec in specs] for section, specs in self.specs.items()}
        models = [{**model._asdict(), "architecture": model.architecture._asdict(), "recipe": model.recipe._asdict()}
                  for model in self.models]  # fmt: skip
        head = {"linkbench": 1, "name": self.name, "task": self.task, "seeds": self.seeds}
        return {
            **head,
            **sections,
            "models": models,
            **self.settings,
            "measure": self.measure.model_dump(by_alias=True),
        }


def every_plugin(scenario: Scenario) -> Iterator[Spec]:
    """Every plugin that a scenario names, also inside another."""
    sections = (spec for specs in scenario.specs.values() for spec in specs)
    models = (spec for model in scenario.models for spec in (model.architecture, model.recipe))
    return every((*sections, *models))
