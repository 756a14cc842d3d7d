"""The scenario file: its schema, defaults and line-numbered errors. Knows no torch and no disk but the file itself."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from linkbench.api.kinds import SECTIONS
from linkbench.errors import InputError, Location, Problem, ScenarioError
from linkbench.metrics.settings import Measure, Strict
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, Wrong, explain, label, parse_spec
from linkbench.scenario.bounds import MOST_CELLS
from linkbench.scenario.checks import starting_predictor
from linkbench.scenario.file import Model, ModelEntry, Scenario, TaskFile
from linkbench.scenario.met import facing_all
from linkbench.scenario.overrides import override
from linkbench.scenario.tasks import TASKS, forms, task_of
from linkbench.scenario.yaml import Document, location_name, read_yaml
from linkbench.store.store import canonical


def load_scenario(path: Path, overrides: tuple[str, ...] = (), most_cells: int = MOST_CELLS) -> Scenario:
    """Read and check a scenario file; see `parse_scenario`."""
    return parse_scenario(read_yaml(path), overrides, most_cells)


def parse_scenario(written: Document, overrides: tuple[str, ...] = (), most_cells: int = MOST_CELLS) -> Scenario:
    """Check a scenario as it was written; overrides are `key.path=value` as of `--set`.

    Raises ScenarioError with every problem at once, each with line, column and a remedy.
    """
    try:
        return _checked(written, overrides, most_cells)
    finally:
        registry().rest()  # what packages of others said is known


def _checked(written: Document, overrides: tuple[str, ...], most_cells: int) -> Scenario:
    document = override(written, overrides, (*SECTIONS, "models"))
    if not isinstance(document.data, dict):
        raise ScenarioError(
            document.file, [Problem("", "a scenario is a mapping that starts with 'linkbench: 1'", 1, 1)]
        )
    task = TASKS[task_of(document.data)]
    file, wrong = _read_form(task.load("form"), document.data)
    specs, problems = _sections(task.load("form"), document.data)
    models, more = _models(document.data.get("models") or [])
    models = [facing_all(model, specs["defenders"]) for model in models]
    wrong += [*problems, *more]
    cells = _cells(file, specs, models)
    if cells > most_cells:
        what = f"the scenario spans {cells:,} cells, at most {most_cells:,} allowed; shorten lists, or say --max-cells"
        raise ScenarioError(document.file, [Problem("", what)])
    wrong += task.load("check")(specs, models, Measure() if file is None else file.measure)
    if wrong or file is None:
        raise ScenarioError(document.file, _problems(document, wrong))
    return Scenario(
        name=file.name,
        task=file.task,
        seeds=file.seed if isinstance(file.seed, list) else [file.seed],
        models=models,
        specs=specs,
        settings={name: value.model_dump() for name, value in file if isinstance(value, Strict) and name != "measure"},
        measure=file.measure,
    )


def _cells(file: TaskFile | None, specs: dict[str, list[Spec]], models: list[Model]) -> int:
    """How many points the whole grid has."""
    seeds = len(file.seed) if file is not None and isinstance(file.seed, list) else 1
    return seeds * math.prod(max(count, 1) for count in (len(models), *map(len, specs.values())))


def _read_form(form: type[TaskFile], data: dict[str, Any]) -> tuple[TaskFile | None, list[Wrong]]:
    """The file, or what is wrong with it; the plugins in its sections are not looked at."""
    try:
        return form.model_validate(data), []
    except ValidationError as error:
        wrong = []
        for problem in error.errors():
            location = tuple(part for part in problem["loc"] if not str(part).startswith("<"))
            wrong.append(Wrong(location, _of_other_task(form, location) or explain(problem, _known(form, location))))
        return None, wrong


def _sections(form: type[TaskFile], data: dict[str, Any]) -> tuple[dict[str, list[Spec]], list[Wrong]]:
    """The plugins of every section, by default those of the form; a section that is missing is the form's to report."""
    specs: dict[str, list[Spec]] = {section: [] for section in SECTIONS}
    wrong: list[Wrong] = []
    for section in (section for section in SECTIONS if section in form.model_fields):
        field = form.model_fields[section]
        if section in data or not field.is_required():
            specs[section], problems = _section(SECTIONS[section], data.get(section, field.get_default()), (section,))
            wrong += problems
    specs["poisons"] = [_with_epsilon(spec) for spec in specs["poisons"]]
    return specs, wrong


def _of_other_task(form: type[TaskFile], location: Location) -> str:
    """What to say of a section that only scenarios of another task have; else nothing."""
    for task, other in forms().items():
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
    alike: dict[str, list[dict[str, Any]]] = defaultdict(list)  # one name along a curve over epsilon
    for spec in specs:
        alike[spec.label].append(spec.params)
    varied = {name: _varied(params) for name, params in alike.items() if len(params) > 1}
    wrong += [
        Wrong(location, f"{name!r} stands there twice with the same parameters")
        for name in varied
        if len({canonical(params) for params in alike[name]}) < len(alike[name])
    ]

    def named(spec: Spec) -> Spec:
        differing = {key: spec.params[key] for key in varied[spec.label] if key in spec.params}
        return spec._replace(label=label(spec.label, differing))

    return [named(spec) if spec.label in varied else spec for spec in specs]


def _varied(params: list[dict[str, Any]]) -> list[str]:
    """The parameters, but the budget, whose values differ."""
    keys = dict.fromkeys(key for one in params for key in one if key != "epsilon")
    return [key for key in keys if len({canonical(one.get(key)) for one in params}) > 1]


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
        wrong += _wrong_names(parsed, models, location)
        architectures, some = parse_spec("architecture", parsed.architecture, (*location, "architecture"))
        recipes, more = parse_spec("recipe", parsed.recipe, (*location, "recipe"))
        wrong += some + more
        for given, recipe in itertools.product(architectures, recipes):
            architecture, problem = _architecture(parsed, given, recipe, location)
            wrong += [problem] if problem else []
            varied = ", ".join(filter(None, (_variation(architecture), _variation(recipe))))
            title = f"{parsed.name}({varied})" if varied else parsed.name
            models.append(Model(title, architecture, recipe, parsed.start, parsed.sealed, parsed.role))
    return models, wrong


def _architecture(entry: ModelEntry, given: Spec, recipe: Spec, location: Location) -> tuple[Spec, Wrong | None]:
    """The architecture of a model: a predictor that its recipe starts from brings it."""
    try:
        predictor = starting_predictor(recipe)
    except InputError as error:
        return given, Wrong((*location, "recipe"), str(error))
    if predictor is None:
        return given, None
    brought = predictor.meta["architecture"]
    spec = Spec("architecture", brought["name"], brought["params"], brought["name"])
    spec = spec._replace(params=spec.plugin().model_dump(mode="json", by_alias=True))
    if entry.start is not None:
        return spec, Wrong((*location, "start"), "the recipe's predictor is where this model starts; leave 'start' out")
    if "architecture" in entry.model_fields_set and (given.name, given.params) != (spec.name, spec.params):
        what = f"the recipe's predictor brings its own architecture, {spec.name!r}; leave 'architecture' out"
        return spec, Wrong((*location, "architecture"), what)
    return spec, None


def _wrong_names(entry: ModelEntry, models: list[Model], location: Location) -> list[Wrong]:
    """A name that stands there twice, a start that is not above, or one whose seal would be broken."""
    wrong, earlier = [], [model.name for model in models]
    if entry.name in earlier:
        wrong.append(Wrong((*location, "name"), f"{entry.name!r} stands there twice; names of models are unique"))
    if entry.start is not None and entry.start not in earlier:
        what = f"{entry.start!r} is no model above this one; there are: {', '.join(earlier) or 'none'}"
        wrong.append(Wrong((*location, "start"), what))
    if not entry.sealed and any(model.sealed for model in models if model.name == entry.start):
        what = f"{entry.start!r} is sealed, and whoever sees this model sees its weights; say 'sealed: true' here too"
        wrong.append(Wrong((*location, "start"), what))
    return wrong


def _variation(spec: Spec) -> str:
    """The part of a label that tells the points of a grid apart."""
    return spec.label[len(spec.name) + 1 : -1] if spec.label != spec.name else ""


def _problems(document: Document, wrong: list[Wrong]) -> list[Problem]:
    out = {}
    for location, what in wrong:
        mark = document.mark(location) if () in document.marks else None
        out[(location, what)] = Problem(location_name(location), what, *(mark or (None, None)))
    return sorted(out.values(), key=lambda problem: (problem.line or 0, problem.column or 0))
