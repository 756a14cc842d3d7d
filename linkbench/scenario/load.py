"""The scenario file: its schema, defaults and line-numbered errors. Knows no torch and no disk but the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from linkbench.errors import Problem, ScenarioError
from linkbench.scenario.overrides import override
from linkbench.scenario.checks import check_identification, check_together
from linkbench.registry.spec import Use, Wrong, explain, label, parse_use
from linkbench.scenario.yaml import Document, Location, location_name, read_yaml

SECTIONS = {
    "genomes": "genomes",
    "cohort": "cohort",
    "poisons": "defender",
    "defenders": "defender",
    "channels": "channel",
    "attackers": "attacker",
    "identifiers": "identifier",
}
"""Sections that list plugins, and the kind of plugin that each lists; which of them a scenario has is its task's."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become folders: no slash, nothing hidden, no markup."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _by_form(*forms: str) -> Discriminator:
    """Which member of a union a value is meant for, by its form, so that a wrong one is reported once."""
    names = {"<mapping>": (dict, BaseModel), "<list>": (list,), "<word>": (str,)}
    return Discriminator(lambda value: next((form for form in forms if isinstance(value, names[form])), "<number>"))


class SizeRange(_Strict):
    """Population sizes in steps: `{from: 10, to: all, step: 10}`, or growing by a factor."""

    start: int = Field(alias="from", ge=1)
    stop: Annotated[Annotated[int, Tag("<number>")] | Annotated[Literal["all"], Tag("<word>")], _by_form("<word>")] = (
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
    Annotated[int, Field(ge=1), Tag("<number>")]
    | Annotated[Literal["all"], Tag("<word>")]
    | Annotated[SizeRange, Tag("<mapping>")],
    _by_form("<word>", "<mapping>"),
]
"""A population size, all genomes, or a range of sizes."""


class Measure(_Strict):
    """What is measured of every cell."""

    top_k: list[Annotated[int, Field(ge=1)]] = Field([1, 3, 5], min_length=1, description="k of success@k")
    sizes: list[Size] = Field(
        [10, 20, 50, 100, "all"], min_length=1, description="population sizes n of the success curve"
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="bootstrap resamples behind every interval")
    level: float = Field(0.95, gt=0.5, lt=1, description="coverage of the intervals")

    def population_sizes(self, population: int) -> list[int]:
        """All sizes asked for, ascending, without those above the population."""
        out: set[int] = set()
        for size in self.sizes:
            if isinstance(size, SizeRange):
                out.update(_range(size, population))
            else:
                out.add(population if size == "all" else size)
        return sorted(size for size in out if size <= population)


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


class Split(_Strict):
    """Parts of the people, never of the photos, kept from training."""

    test: float = Field(0.4, gt=0, lt=1, description="part of the people whose photos are linked")
    validation: float = Field(0.1, gt=0, lt=1, description="part of the people used to stop and to calibrate")

    @model_validator(mode="after")
    def _some_left(self) -> Split:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation together leave nobody to train on; their sum must be below 1")
        return self


class Parts(_Strict):
    """Parts of the people, and of the photos of those who teach, in identification."""

    test: float = Field(0.4, gt=0, le=1, description="part of the people who are identified; 1: nobody teaches")
    validation: float = Field(
        0.1, ge=0, lt=1, description="part of the other people's photos, by which training is stopped"
    )


class GallerySettings(_Strict):
    """What the attacker has of the people who are to be identified."""

    photos: int | None = Field(
        None, ge=1, description="photos of each person, with the name; the rest are probes; null: half of them"
    )


def _different(values: list[int]) -> list[int]:
    if len(set(values)) < len(values):
        raise ValueError("the same number stands there twice")
    return values


class ModelEntry(_Strict):
    """One predictor: an architecture, how it is trained, and the model that it starts from."""

    name: str = Field(pattern=NAME, description="how other parts of the file and the tables call it")
    architecture: Any = Field("small-cnn", description="an architecture, by name or with parameters")
    recipe: Any = Field("standard", description="a recipe, by name or with parameters")
    start: str | None = Field(None, description="name of a model above, whose weights this one starts from")


class _File(_Strict):
    """What scenarios of every task have; lists of plugins are checked one by one afterwards."""

    linkbench: Literal[1] = Field(description="version of the scenario format")
    name: str = Field(pattern=NAME, description="names the results folder")
    seed: Annotated[
        Annotated[int, Tag("<number>")]
        | Annotated[list[int], Field(min_length=1), AfterValidator(_different), Tag("<list>")],
        _by_form("<list>"),
    ] = Field(0, description="one seed, or several to repeat everything")
    cohort: Any = Field(description="the people and their photos")
    defenders: Any = Field("none", description="who protects the photos to be linked, or those of the gallery")
    channels: Any = Field("float", description="what posting does to photos")
    measure: Measure = Measure()


class File(_File):
    """A scenario of linkage as written."""

    task: Literal["linkage", "identification"] = Field("linkage", description="what attackers do with the photos")
    genomes: Any = Field(description="the pile of genomes that photos are linked to")
    models: list[Any] = Field([], description="predictors; none where the cohort brings published predictions")
    poisons: Any = Field(
        "none", description="who changes the photos that the attacker trains on, before they are posted"
    )
    attackers: Any = Field(["predicted", "ground-truth", "random"], description="who links")
    split: Split = Split()


class IdentificationFile(_File):
    """A scenario of identification as written: the names of people in photos, without genomes."""

    task: Literal["identification"] = Field(description="what attackers do with the photos")
    models: list[Any] = Field(min_length=1, description="networks whose features are the embedding")
    identifiers: Any = Field("nearest-neighbour", description="who identifies")
    gallery: GallerySettings = GallerySettings()
    split: Parts = Parts()


FILES: dict[str, type[_File]] = {"linkage": File, "identification": IdentificationFile}
"""The form of the file for each task."""


class Model(NamedTuple):
    """A predictor of the scenario, its plugins resolved."""

    name: str
    architecture: Use
    recipe: Use
    start: str | None


class Scenario(NamedTuple):
    """A scenario whose every plugin and parameter is known to be good."""

    name: str
    seeds: list[int]
    genomes: list[Use]
    cohort: list[Use]
    models: list[Model]
    poisons: list[Use]
    defenders: list[Use]
    channels: list[Use]
    attackers: list[Use]
    identifiers: list[Use]
    split: Split | Parts
    measure: Measure
    task: str = "linkage"
    gallery: GallerySettings = GallerySettings()

    def resolved(self) -> dict[str, Any]:
        """The scenario as plain JSON with all defaults written out."""
        sections = {section: [use._asdict() for use in getattr(self, section)] for section in SECTIONS}
        models = [{**model._asdict(), "architecture": model.architecture._asdict(), "recipe": model.recipe._asdict()}
                  for model in self.models]  # fmt: skip
        settings = {"split": self.split.model_dump(), "measure": self.measure.model_dump(by_alias=True)}
        if self.task == "identification":
            settings["gallery"] = self.gallery.model_dump()
        head = {"linkbench": 1, "name": self.name, "task": self.task, "seeds": self.seeds}
        return {**head, **sections, "models": models, **settings}


def load_scenario(path: Path, overrides: tuple[str, ...] = ()) -> Scenario:
    """Read and check a scenario; overrides are `key.path=value` as of `--set`.

    Raises ScenarioError with every problem of the file at once, each with line, column and a remedy.
    """
    document = override(read_yaml(path), overrides, (*SECTIONS, "models"))
    if not isinstance(document.data, dict):
        raise ScenarioError(str(path), [Problem("", "a scenario is a mapping that starts with 'linkbench: 1'", 1, 1)])
    wrong: list[Wrong] = []
    file = None
    form = FILES["identification"] if document.data.get("task") == "identification" else FILES["linkage"]
    try:
        file = form.model_validate(document.data)
    except ValidationError as error:
        for problem in error.errors():
            location = tuple(part for part in problem["loc"] if not str(part).startswith("<"))
            wrong.append(Wrong(location, _of_other_task(form, location) or explain(problem, _known(form, location))))
    uses: dict[str, list[Use]] = {section: [] for section in SECTIONS}
    for section in (section for section in SECTIONS if section in form.model_fields):
        default = form.model_fields[section].get_default()
        if section in document.data or not form.model_fields[section].is_required():
            uses[section], problems = _section(SECTIONS[section], document.data.get(section, default), (section,))
            wrong += problems
    uses["poisons"] = [_with_epsilon(use) for use in uses["poisons"]]
    models, problems = _models(document.data.get("models") or [])
    wrong += problems
    if form is IdentificationFile:
        wrong += check_identification(uses, models)
    else:
        wrong += check_together(uses, [model.name for model in models], [model.recipe for model in models])
    if wrong or file is None:
        raise ScenarioError(document.file, _problems(document, wrong))
    assert isinstance(file, File | IdentificationFile)
    seeds = file.seed if isinstance(file.seed, list) else [file.seed]
    gallery = file.gallery if isinstance(file, IdentificationFile) else GallerySettings()
    return Scenario(
        file.name, seeds, models=models, split=file.split, measure=file.measure, task=file.task, gallery=gallery, **uses
    )


def _of_other_task(form: type[_File], location: Location) -> str:
    """What to say of a section that only scenarios of another task have; else nothing."""
    for task, other in FILES.items():
        if len(location) == 1 and location[0] in set(other.model_fields) - set(form.model_fields):
            return f"this section belongs to the task {task!r}; leave it out, or say 'task: {task}'"
    return ""


def _known(form: type[_File], location: Location) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    inner = form.model_fields[str(location[0])].annotation if location and location[0] in form.model_fields else form
    fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else form.model_fields
    return [item.alias or name for name, item in fields.items()]


def _section(kind: str, entries: Any, location: Location) -> tuple[list[Use], list[Wrong]]:
    if not isinstance(entries, list):
        uses, wrong = parse_use(kind, entries, location)
    elif not entries:
        return [], [Wrong(location, f"the list is empty; name one {kind} or more")]
    else:
        uses, wrong = [], []
        for index, entry in enumerate(entries):
            some, problems = parse_use(kind, entry, (*location, index))
            uses += some
            wrong += problems
    return _distinct(uses, location, wrong), wrong


def _distinct(uses: list[Use], location: Location, wrong: list[Wrong]) -> list[Use]:
    """Give different labels to different uses of one plugin; the same use twice is an error."""
    out: list[Use] = []
    for use in uses:
        twins = [other for other in uses if other.label == use.label]  # one name along a curve over epsilon
        if any(other.params == use.params for other in twins if other is not use):
            wrong.append(Wrong(location, f"{use.label!r} stands there twice with the same parameters"))
            break
        differing = {
            key: value
            for key, value in use.params.items()
            if key != "epsilon" and any(other.params.get(key) != value for other in twins)
        }
        out.append(use if len(twins) == 1 else use._replace(label=label(use.label, differing)))
    return out


def _with_epsilon(use: Use) -> Use:
    """A poison's budget has no column of its own, so its label tells it."""
    epsilon = _epsilon(use)
    return use if epsilon is None else use._replace(label=f"{use.label} at {epsilon:.4g}")


def _epsilon(use: Use) -> Any:
    return use.params.get("epsilon")


def _models(entries: Any) -> tuple[list[Model], list[Wrong]]:
    models: list[Model] = []
    wrong: list[Wrong] = []
    if not isinstance(entries, list):
        return [], []  # the file's own schema reports it
    for index, entry in enumerate(entries):
        location: Location = ("models", index)
        try:
            parsed = ModelEntry.model_validate(
                {"name": entry, "architecture": entry} if isinstance(entry, str) else entry
            )
        except ValidationError as error:
            names = list(ModelEntry.model_fields)
            wrong += [Wrong((*location, *problem["loc"]), explain(problem, names)) for problem in error.errors()]
            continue
        architectures, some = parse_use("architecture", parsed.architecture, (*location, "architecture"))
        recipes, more = parse_use("recipe", parsed.recipe, (*location, "recipe"))
        wrong += some + more
        earlier = [model.name for model in models]
        if parsed.name in earlier:
            wrong.append(Wrong((*location, "name"), f"{parsed.name!r} stands there twice; names of models are unique"))
        if parsed.start is not None and parsed.start not in earlier:
            wrong.append(
                Wrong(
                    (*location, "start"),
                    f"{parsed.start!r} is no model above this one; there are: {', '.join(earlier) or 'none'}",
                )
            )
        for architecture in architectures:
            for recipe in recipes:
                varied = ", ".join(filter(None, (_variation(architecture), _variation(recipe))))
                title = f"{parsed.name}({varied})" if varied else parsed.name
                models.append(Model(title, architecture, recipe, parsed.start))
    return models, wrong


def _variation(use: Use) -> str:
    """The part of a label that tells the points of a grid apart."""
    return use.label[len(use.name) + 1 : -1] if use.label != use.name else ""


def _problems(document: Document, wrong: list[Wrong]) -> list[Problem]:
    out = {}
    for location, what in wrong:
        mark = document.mark(location) if () in document.marks else None
        out[(location, what)] = Problem(location_name(location), what, *(mark or (None, None)))
    return sorted(out.values(), key=lambda problem: (problem.line or 0, problem.column or 0))
