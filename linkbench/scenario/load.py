"""The scenario file: its schema, defaults and line-numbered errors. Knows no torch and no disk but the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from linkbench.errors import Location, Problem, ScenarioError
from linkbench.registry.kinds import SECTIONS
from linkbench.registry.spec import Spec, Wrong, explain, label, parse_spec
from linkbench.scenario.checks import check_identification, check_together
from linkbench.scenario.file import (
    FILES,
    File,
    GallerySettings,
    IdentificationFile,
    Model,
    ModelEntry,
    Scenario,
    TaskFile,
)
from linkbench.scenario.overrides import override
from linkbench.scenario.yaml import Document, location_name, read_yaml


def load_scenario(path: Path, overrides: tuple[str, ...] = ()) -> Scenario:
    """Read and check a scenario file; see `parse_scenario`."""
    return parse_scenario(read_yaml(path), overrides)


def parse_scenario(written: Document, overrides: tuple[str, ...] = ()) -> Scenario:
    """Check a scenario as it was written; overrides are `key.path=value` as of `--set`.

    Raises ScenarioError with every problem at once, each with line, column and a remedy.
    """
    document = override(written, overrides, (*SECTIONS, "models"))
    if not isinstance(document.data, dict):
        raise ScenarioError(
            document.file, [Problem("", "a scenario is a mapping that starts with 'linkbench: 1'", 1, 1)]
        )
    wrong: list[Wrong] = []
    file = None
    form = FILES["identification"] if document.data.get("task") == "identification" else FILES["linkage"]
    try:
        file = form.model_validate(document.data)
    except ValidationError as error:
        for problem in error.errors():
            location = tuple(part for part in problem["loc"] if not str(part).startswith("<"))
            wrong.append(Wrong(location, _of_other_task(form, location) or explain(problem, _known(form, location))))
    specs: dict[str, list[Spec]] = {section: [] for section in SECTIONS}
    for section in (section for section in SECTIONS if section in form.model_fields):
        default = form.model_fields[section].get_default()
        if section in document.data or not form.model_fields[section].is_required():
            specs[section], problems = _section(SECTIONS[section], document.data.get(section, default), (section,))
            wrong += problems
    specs["poisons"] = [_with_epsilon(spec) for spec in specs["poisons"]]
    models, problems = _models(document.data.get("models") or [])
    wrong += problems
    if form is IdentificationFile:
        wrong += check_identification(specs, models)
    else:
        wrong += check_together(specs, [model.name for model in models], [model.recipe for model in models])
    if wrong or file is None:
        raise ScenarioError(document.file, _problems(document, wrong))
    assert isinstance(file, File | IdentificationFile)
    seeds = file.seed if isinstance(file.seed, list) else [file.seed]
    gallery = file.gallery if isinstance(file, IdentificationFile) else GallerySettings()
    return Scenario(
        file.name,
        seeds,
        models=models,
        split=file.split,
        measure=file.measure,
        task=file.task,
        gallery=gallery,
        **specs,
    )


def _of_other_task(form: type[TaskFile], location: Location) -> str:
    """What to say of a section that only scenarios of another task have; else nothing."""
    for task, other in FILES.items():
        if len(location) == 1 and location[0] in set(other.model_fields) - set(form.model_fields):
            return f"this section belongs to the task {task!r}; leave it out, or say 'task: {task}'"
    return ""


def _known(form: type[TaskFile], location: Location) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    inner = form.model_fields[str(location[0])].annotation if location and location[0] in form.model_fields else form
    fields = inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else form.model_fields
    return [item.alias or name for name, item in fields.items()]


def _section(kind: str, entries: Any, location: Location) -> tuple[list[Spec], list[Wrong]]:
    if not isinstance(entries, list):
        specs, wrong = parse_spec(kind, entries, location)
    elif not entries:
        return [], [Wrong(location, f"the list is empty; name one {kind} or more")]
    else:
        specs, wrong = [], []
        for index, entry in enumerate(entries):
            some, problems = parse_spec(kind, entry, (*location, index))
            specs += some
            wrong += problems
    return _distinct(specs, location, wrong), wrong


def _distinct(specs: list[Spec], location: Location, wrong: list[Wrong]) -> list[Spec]:
    """Give different labels to different uses of one plugin; the same use twice is an error."""
    out: list[Spec] = []
    for spec in specs:
        twins = [other for other in specs if other.label == spec.label]  # one name along a curve over epsilon
        if any(other.params == spec.params for other in twins if other is not spec):
            wrong.append(Wrong(location, f"{spec.label!r} stands there twice with the same parameters"))
            break
        differing = {
            key: value
            for key, value in spec.params.items()
            if key != "epsilon" and any(other.params.get(key) != value for other in twins)
        }
        out.append(spec if len(twins) == 1 else spec._replace(label=label(spec.label, differing)))
    return out


def _with_epsilon(spec: Spec) -> Spec:
    """A poison's budget has no column of its own, so its label tells it."""
    epsilon = _epsilon(spec)
    return spec if epsilon is None else spec._replace(label=f"{spec.label} at {epsilon:.4g}")


def _epsilon(spec: Spec) -> Any:
    return spec.params.get("epsilon")


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
        architectures, some = parse_spec("architecture", parsed.architecture, (*location, "architecture"))
        recipes, more = parse_spec("recipe", parsed.recipe, (*location, "recipe"))
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


def _variation(spec: Spec) -> str:
    """The part of a label that tells the points of a grid apart."""
    return spec.label[len(spec.name) + 1 : -1] if spec.label != spec.name else ""


def _problems(document: Document, wrong: list[Wrong]) -> list[Problem]:
    out = {}
    for location, what in wrong:
        mark = document.mark(location) if () in document.marks else None
        out[(location, what)] = Problem(location_name(location), what, *(mark or (None, None)))
    return sorted(out.values(), key=lambda problem: (problem.line or 0, problem.column or 0))
