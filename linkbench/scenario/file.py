"""The forms of a scenario file, and the scenario whose every plugin is known to be good."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, Tag, model_validator

from linkbench.metrics.settings import Measure, Strict, by_form
from linkbench.registry.kinds import SECTIONS
from linkbench.registry.spec import Spec

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become folders: no slash, nothing hidden, no markup."""


class Split(Strict):
    """Parts of the people, never of the photos, kept from training."""

    test: float = Field(0.4, gt=0, lt=1, description="part of the people whose photos are linked")
    validation: float = Field(0.1, gt=0, lt=1, description="part of the people used to stop and to calibrate")

    @model_validator(mode="after")
    def _some_left(self) -> Split:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation together leave nobody to train on; their sum must be below 1")
        return self


class Parts(Strict):
    """Parts of the people, and of the photos of those who teach, in identification."""

    test: float = Field(0.4, gt=0, le=1, description="part of the people who are identified; 1: nobody teaches")
    validation: float = Field(
        0.1, ge=0, lt=1, description="part of the other people's photos, by which training is stopped"
    )


class GallerySettings(Strict):
    """What the attacker has of the people who are to be identified."""

    photos: int | None = Field(
        None, ge=1, description="photos of each person, with the name; the rest are probes; null: half of them"
    )


def _different(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("the same number stands there twice")
    return values


class ModelEntry(Strict):
    """One predictor: an architecture, how it is trained, and the model that it starts from."""

    name: str = Field(pattern=NAME, description="how other parts of the file and the tables call it")
    architecture: Any = Field("small-cnn", description="an architecture, by name or with parameters")
    recipe: Any = Field("standard", description="a recipe, by name or with parameters")
    start: str | None = Field(None, description="name of a model above, whose weights this one starts from")


class TaskFile(Strict):
    """What scenarios of every task have; lists of plugins are checked one by one afterwards."""

    linkbench: Literal[1] = Field(description="version of the scenario format")
    name: str = Field(pattern=NAME, description="names the results folder")
    seed: Annotated[
        Annotated[int, Tag("<number>")]
        | Annotated[list[int], Field(min_length=1), AfterValidator(_different), Tag("<list>")],
        by_form("<list>"),
    ] = Field(0, description="one seed, or several to repeat everything")
    cohort: Any = Field(description="the people and their photos")
    defenders: Any = Field("none", description="who protects the photos to be linked, or those of the gallery")
    channels: Any = Field("float", description="what posting does to photos")
    measure: Measure = Measure()


class File(TaskFile):
    """A scenario of linkage as written."""

    task: Literal["linkage", "identification"] = Field("linkage", description="what attackers do with the photos")
    genomes: Any = Field(description="the pile of genomes that photos are linked to")
    models: list[Any] = Field([], description="predictors; none where the cohort brings published predictions")
    poisons: Any = Field(
        "none", description="who changes the photos that the attacker trains on, before they are posted"
    )
    attackers: Any = Field(
        ["predicted", {"use": "likelihood", "learns": ["clean", "protected"]}, "ground-truth", "random"],
        description="who links",
    )
    split: Split = Split()


class IdentificationFile(TaskFile):
    """A scenario of identification as written: the names of people in photos, without genomes."""

    task: Literal["identification"] = Field(description="what attackers do with the photos")
    models: list[Any] = Field(min_length=1, description="networks whose features are the embedding")
    identifiers: Any = Field("nearest-neighbour", description="who identifies")
    gallery: GallerySettings = GallerySettings()
    split: Parts = Parts()


FILES: dict[str, type[TaskFile]] = {"linkage": File, "identification": IdentificationFile}
"""The form of the file for each task."""


class Model(NamedTuple):
    """A predictor of the scenario, its plugins resolved."""

    name: str
    architecture: Spec
    recipe: Spec
    start: str | None


class Scenario(NamedTuple):
    """A scenario whose every plugin and parameter is known to be good."""

    name: str
    seeds: list[int]
    genomes: list[Spec]
    cohort: list[Spec]
    models: list[Model]
    poisons: list[Spec]
    defenders: list[Spec]
    channels: list[Spec]
    attackers: list[Spec]
    identifiers: list[Spec]
    split: Split | Parts
    measure: Measure
    task: str = "linkage"
    gallery: GallerySettings = GallerySettings()

    def resolved(self) -> dict[str, Any]:
        """The scenario as plain JSON with all defaults written out."""
        sections = {section: [spec._asdict() for spec in getattr(self, section)] for section in SECTIONS}
        models = [{**model._asdict(), "architecture": model.architecture._asdict(), "recipe": model.recipe._asdict()}
                  for model in self.models]  # fmt: skip
        settings = {"split": self.split.model_dump(), "measure": self.measure.model_dump(by_alias=True)}
        if self.task == "identification":
            settings["gallery"] = self.gallery.model_dump()
        head = {"linkbench": 1, "name": self.name, "task": self.task, "seeds": self.seeds}
        return {**head, **sections, "models": models, **settings}
