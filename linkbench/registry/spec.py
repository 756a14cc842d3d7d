"""A plugin chosen and parametrised in a scenario: `{use: joint-pgd, epsilon: 0.01}` or just `joint-pgd`."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_origin

from pydantic import ValidationError

from linkbench.api.base import Plugin
from linkbench.api.fields import resolve_nested_with
from linkbench.errors import InputError, Location, PluginError
from linkbench.registry import inputs
from linkbench.registry.code_digest import NUMERICAL, Code, code_of, version_of
from linkbench.registry.registry import registry


class Spec(NamedTuple):
    """One plugin with all its parameters, defaults included, as plain JSON values."""

    kind: str
    name: str
    params: dict[str, Any]
    label: str

    def plugin(self) -> Any:
        """The plugin object. Raises PluginError if it cannot be imported."""
        return registry().load(self.kind, self.name).model_validate(self.params, strict=False)

    def code(self) -> list[Code]:
        """The code of the plugin, and of what its parameters name; not that of plugins inside it."""
        return self._code(self.plugin())

    def _code(self, plugin: Plugin) -> list[Code]:
        return [code_of(module) for module in (registry().find(self.kind, self.name).module, *plugin.code_modules())]

    def identity(self) -> dict[str, Any]:
        """Everything that decides what the plugin does, for the key of a stage."""
        found = registry().find(self.kind, self.name)
        plugin: Plugin = self.plugin()
        code = self._code(plugin)
        inside = nested_specs(self)
        params = inputs.params_without_paths(plugin, self.params)
        libraries = {NUMERICAL[name] for each in code for name in each.libraries} | set(plugin.libraries)
        out: dict[str, Any] = {
            "use": self.name,
            "distribution": found.distribution,
            "target": found.target,
            "code": [each.digest for each in code],
            "params": {name: value for name, value in params.items() if name not in {key for key, _ in inside}},
            "libraries": {library: version_of(library) for library in sorted(libraries)},
        }
        if files := inputs.digests(plugin):
            out["files"] = files
        return {**out, "inside": [[key, value.identity()] for key, value in inside]} if inside else out


MOST_POINTS = 10_000
"""Points of the grid that one entry of a scenario may span."""


class Wrong(NamedTuple):
    """A problem at a location of the file."""

    location: Location
    what: str


def parse_spec(kind: str, entry: Any, location: Location) -> tuple[list[Spec], list[Wrong]]:
    """All points of the grid that one entry spans, and what is wrong with it.

    A list as a parameter value spans a grid; where the parameter is itself a list, a list of lists does.
    """
    named = {"use": entry} if isinstance(entry, str) else entry
    if wrong := _misshapen(kind, named, location):
        return [], [wrong]
    name = named["use"]
    try:
        cls = registry().load(kind, name)
    except PluginError as error:
        return [], [Wrong((*location, "use"), str(error))]
    given = {key: value for key, value in named.items() if key not in ("use", "name")}
    return _grid(cls, Spec(kind, name, given, named.get("name", name)), location)


def _grid(cls: Any, asked: Spec, location: Location) -> tuple[list[Spec], list[Wrong]]:
    """A plugin at every point that the lists among the parameters span, each problem once."""
    axes: dict[str, list[Any]] = {key: value for key, value in asked.params.items() if _spans(cls, key, value)}
    points = math.prod(len(values) for values in axes.values())
    if points > MOST_POINTS:
        return [], [
            Wrong(location, f"its lists span {points:,} points, at most {MOST_POINTS:,} are allowed; shorten them")
        ]
    specs: list[Spec] = []
    wrong: dict[Location, Wrong] = {}
    for key in (key for key, values in axes.items() if not values):
        wrong[*location, key] = Wrong((*location, key), "an empty list spans no grid; give at least one value")
    for point in _points(axes):
        values = {key: axes[key][index] for key, index in point.items()}
        try:
            plugin = cls.model_validate({**asked.params, **values})
        except ValidationError as error:
            for problem in _problems_at(error, cls, location, point):
                wrong.setdefault(problem.location, problem)
            continue
        except PluginError as error:  # of another package, which cannot say whether they are right
            return [], [Wrong(location, str(error))]
        varied = {key: value for key, value in values.items() if not (asked.kind == "defender" and key == "epsilon")}
        params = plugin.model_dump(mode="json", by_alias=True)
        specs.append(asked._replace(params=params, label=label(asked.label, varied)))
    return specs, list(wrong.values())


def _points(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, int]]:
    """Every point of a grid: the place in each list that spans it."""
    for places in itertools.product(*(range(len(values)) for values in axes.values())):
        yield dict(zip(axes, places, strict=True))


def _misshapen(kind: str, entry: Any, location: Location) -> Wrong | None:
    """Why an entry names no plugin, or gives it an impossible title; None where it may be one."""
    if not isinstance(entry, Mapping):
        return Wrong(location, f"expected the name of one {kind} or a mapping with 'use:', found {found(entry)}")
    name = entry.get("use")
    if name is None:
        return Wrong((*location, "use"), "the key 'use' is missing; it names the plugin")
    if not isinstance(name, str):
        return Wrong((*location, "use"), f"expected a name, found {found(name)}")
    title = entry.get("name", name)
    if not isinstance(title, str) or not 1 <= len(title) <= 80 or any(ord(letter) < 32 for letter in title):
        return Wrong((*location, "name"), "expected 1 to 80 printable characters")
    return None


def _problems_at(error: ValidationError, cls: Any, location: Location, point: Mapping[str, int]) -> Iterator[Wrong]:
    """What is wrong with the parameters at a point of the grid: the place in each list that spans it."""
    for problem in error.errors():
        key, *rest = problem["loc"] or ("",)
        inside = (key, point[str(key)], *rest) if key in point else (key, *rest)
        yield Wrong((*location, *(part for part in inside if part != "")), explain(problem, list(_names(cls))))


def nested_specs(spec: Spec) -> list[tuple[str, Spec]]:
    """Plugins that a plugin names in its own parameters (fields made by `linkbench.api.fields.nested`)."""
    out: list[tuple[str, Spec]] = []
    for key, field in registry().load(spec.kind, spec.name).model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        value = spec.params.get(field.alias or key)
        if "linkbench_use" in extra and value is not None:
            kind, items = str(extra["linkbench_use"]), value if isinstance(value, list) else [value]
            out += [(key, Spec(kind, item["use"], item["params"], item["use"])) for item in items]
    return out


def every(specs: Iterable[Spec]) -> Iterator[Spec]:
    """The plugins, each followed by all that it names inside itself, at any depth."""
    for spec in specs:
        yield spec
        yield from every(inner for _, inner in nested_specs(spec))


def open_fields(spec: Spec) -> list[str]:
    """Parameters of a recipe that stand for the defender that is met, see `linkbench.api.fields.MetDefender`.

    None where it lists the tools that it adapts to.
    """
    if spec.params.get("tools"):
        return []
    fields = registry().load(spec.kind, spec.name).model_fields if spec.kind == "recipe" else {}
    names = {field.alias or key: field.json_schema_extra for key, field in fields.items()}
    return [
        name
        for name, extra in names.items()
        if isinstance(extra, dict) and extra.get("linkbench_use") == "defender" and spec.params[name] is None
    ]


def known_tool(value: Mapping[str, Any] | None, who: str) -> Mapping[str, Any]:
    """The value of a field for the defender that is met, once it is known. Raises InputError where nobody is met."""
    if value is None:
        raise InputError(f"{who}: nobody is met here, so the recipe must name its tool; give it a 'defender'")
    return value


def nested_plugin(value: Mapping[str, Any], kind: str) -> Any:
    """The plugin object behind the value of a nested field."""
    return registry().load(kind, value["use"]).model_validate(value["params"], strict=False)


def _resolve(kind: str, value: Any) -> dict[str, Any]:
    """The value of a nested field: one plugin with all its parameters. Raises ValueError saying what is wrong."""
    if isinstance(value, dict) and set(value) == {"use", "params"}:
        value = {"use": value["use"], **value["params"]}
    specs, wrong = parse_spec(kind, value, ())
    if wrong or len(specs) != 1:
        said = [
            what if location in ((), ("use",)) else f"{'.'.join(map(str, location))}: {what}"
            for location, what in wrong
        ]
        raise ValueError("; ".join(said) or "a list spans no grid inside another plugin")
    return {"use": specs[0].name, "params": specs[0].params}


resolve_nested_with(_resolve)


def label(title: str, params: Mapping[str, Any]) -> str:
    """`known(phenotypes=eye)`: the name and the parameters that tell it from its neighbours."""
    if not params:
        return title
    return f"{title}({', '.join(f'{key}={_short(value)}' for key, value in params.items())})"


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(_short(item) for item in value)
    if isinstance(value, Mapping):
        return str(value.get("use", "+".join(f"{key}:{_short(item)}" for key, item in value.items())))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _names(cls: Any) -> list[str]:
    return [field.alias or name for name, field in cls.model_fields.items()]


def _spans(cls: Any, key: str, value: Any) -> bool:
    """Whether a list given for this parameter is a grid rather than a value."""
    if not isinstance(value, list):
        return False
    field = next((field for name, field in cls.model_fields.items() if key == (field.alias or name)), None)
    if field is None:
        return False  # an unknown key, reported as such
    if get_origin(field.annotation) in (tuple, list):
        return bool(value) and all(isinstance(item, list) for item in value)
    return True


def explain(problem: Any, known: list[str]) -> str:
    """A pydantic error in our words: what was found, what is allowed, the nearest match."""
    kind, value = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        key = str(problem["loc"][-1])
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown key; {hint}known: {', '.join(known) or 'none'}"
    if kind == "missing":
        return "is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if kind == "value_error":
        return f"{message}, found {found(value)}" if "found" not in message else message
    return f"{message.replace('input should', 'must').replace(' should ', ' must ')}, found {found(value)}"


def found(value: Any) -> str:
    """A value as it is shown in a message: its kind and a short form."""
    names = {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    if value is None:
        return "nothing"
    shown = repr(value)
    return f"{names.get(type(value), type(value).__name__)} {shown if len(shown) <= 60 else shown[:57] + '...'}"
