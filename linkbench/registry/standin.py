"""Classes that stand in for plugins of other packages, whose code the harness never imports.

A stand-in is of the kind of the plugin, has its parameters and says what it says (`needs`, `budget`), for it asks the
plugin in a process apart. What the plugin does, it does in the process of a stage; here that is refused by name.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from pydantic import Field, PrivateAttr, ValidationError, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from linkbench.api.base import Plugin
from linkbench.api.data import Artefact
from linkbench.api.kinds import KINDS
from linkbench.api.text import shown
from linkbench.errors import PluginError
from linkbench.registry.announced import Registration
from linkbench.registry.description import ARRAYS, ITSELF, facts, home_of, mentions, methods, questions, understood

Load = Callable[[str, str], Any]
"""From kind and name to the class of a plugin, or its stand-in."""


class Told(NamedTuple):
    """A plugin's parameters, the paths that they name, the files that it reads, and the modules that it runs."""

    params: dict[str, Any]
    paths: tuple[str, ...]
    input_files: tuple[Path, ...]
    code_modules: tuple[str, ...]


class Apart(Protocol):
    """Where the code of a plugin is. All raise PluginError naming the plugin where it gives no sound answer."""

    load: Load
    code: tuple[str, ...]
    """Files and folders of the package itself."""

    def validated(self, of: Registration, params: Mapping[str, Any], paths: tuple[str, ...], strict: Any) -> Any:
        """The answer of linkbench.registry.describing.Describing.validated."""

    def asked(self, of: Registration, told: Told, question: str, arguments: tuple[Any, ...]) -> Artefact:
        """The answer to a question: JSON as meta["answer"], and arrays."""


class StandIn(Plugin):
    """Base of all stand-ins; made by `stand_in`."""

    _of: ClassVar[Registration]
    _home: ClassVar[type[Plugin]]
    _apart: ClassVar[Apart]
    _schema: ClassVar[dict[str, Any]]
    _told: Told = PrivateAttr()

    def __init__(self, **params: Any) -> None:
        raise PluginError(f"{self._of.where} is made by model_validate, as its code runs apart from linkbench's")

    @classmethod
    def model_validate(cls, obj: Any, *, strict: bool | None = None, **_: Any) -> Any:
        """The plugin with these parameters. Raises ValidationError as the class itself would, and PluginError."""
        params, paths = with_paths(cls, obj, cls._apart.load)
        answer = cls._apart.validated(cls._of, params, paths, strict)
        try:
            wrong = _validation_error(cls._of.name, answer["problems"], params) if "problems" in answer else None
            values = {} if wrong else dict(_read(cls, answer["params"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise PluginError(f"{cls._of.where} gave parameters that are none") from None
        if wrong:
            raise wrong
        files, modules = (cls._read_answer(name, answer.get(name)) for name in ("input_files", "code_modules"))
        told = Told(answer["params"], paths, tuple(files), tuple(modules))
        for path in told.input_files:
            known = any(_beside(os.path.abspath(path), given) for given in (*paths, *cls._apart.code))
            if not known or "\0" in str(path):  # no system has files of such a name
                raise PluginError(f"{cls._of.where} says that it reads {shown(path)}, which its parameters do not name")
        made = cls.model_construct(**values)
        made._told = told
        return made

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Any:
        """The plugin with some parameters changed, about which it is asked anew; raises as `model_validate` does."""
        changed = {**self._told.params, **(update or {})}
        return self if changed == self._told.params else type(self).model_validate(changed, strict=False)

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        return cls._schema

    def input_files(self) -> list[Path]:
        return list(self._told.input_files)

    def code_modules(self) -> list[str]:
        return list(self._told.code_modules)

    def _ask(self, question: str, *arguments: Any) -> Any:
        answer = self._apart.asked(self._of, self._told, question, arguments)
        value, kind = answer.meta["answer"], questions(self._home).get(question)
        if kind == ITSELF:
            return type(self).model_validate(value, strict=False)
        if kind == ARRAYS:
            return None if value is None else Artefact(answer.arrays, value)
        return self._read_answer(question, value)

    @classmethod
    def _read_answer(cls, question: str, value: Any) -> Any:
        try:
            return understood(cls._home, question, value)
        except PluginError as error:
            raise PluginError(f"{cls._of.where}: {error}") from None


def stand_in(of: Registration, described: Mapping[str, Any], apart: Apart) -> type[StandIn]:
    """The stand-in for a plugin that described itself. Raises PluginError for a description that is none."""
    try:
        base = home_of(described, getattr(importlib.import_module("linkbench.api.base"), KINDS[of.kind].base))
        module, _, name = of.target.partition(":")
        fields: dict[str, Any] = {str(field["name"]): _field(field) for field in described["fields"]}
        if taken := [field for field in fields if hasattr(StandIn, field) or not field.isidentifier()]:
            raise NameError(f"no parameter can have the name {taken[0]!r}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names of parameters, which are for the package to hear
            make: Any = create_model  # its own types know of one base
            made = make(name, __base__=(StandIn, base), __module__=module, __doc__=described["doc"], **fields)
        told = described["facts"]
        said = {fact: understood(base, fact, told[fact]) for fact in facts(base) if fact in told}
        asked = {fact: _asking(fact) for fact in facts(base) if fact in described["asked"]}
        written = {method: _method(base, method, of) for method in methods(base) if method in described["written"]}
    except (
        PluginError, ImportError, KeyError, TypeError, ValueError, AttributeError, NameError, RuntimeError
    ) as error:  # fmt: skip
        raise PluginError(f"{of.where} is described unsoundly: {shown(error, 200)}") from None
    for attribute, value in {**said, **asked, **written}.items():
        if attribute not in ("input_files", "code_modules"):
            setattr(made, attribute, value)
    made._of, made._home, made._apart, made._schema = of, base, apart, described["schema"]
    out: type[StandIn] = made
    return out


def _field(field: Mapping[str, Any]) -> tuple[Any, Any]:
    extra: Any = {"linkbench": "phenotype"} if field["phenotype"] else None
    if field["use"] and field["use"] not in KINDS:
        raise ValueError(f"there is no kind {field['use']!r}")
    extra = {"linkbench_use": field["use"]} if field["use"] else extra
    if field["alias"] is not None and field["alias"] != shown(field["alias"]):
        raise ValueError(f"no parameter can have the name {field['alias']!r}")
    one: Any = Path | None if field["path"] else Any
    kind = list[one] if field["list"] else one
    return kind, Field(None, alias=field["alias"], json_schema_extra=extra)


def _asking(fact: str) -> property:
    return property(lambda self: self._ask(fact))


def _method(base: type[Plugin], method: str, of: Registration) -> Any:
    """What stands for a method that the plugin has written: a question, or a refusal."""

    def asks(self: StandIn, *arguments: Any) -> Any:
        return self._ask(method, *arguments)

    def refuses(self: StandIn, *_: Any, **__: Any) -> Any:
        raise PluginError(
            f"{of.where} cannot be used here: its code never runs in linkbench's own process, and what was asked for "
            f"({method}) has no process for plugins. Use a plugin of linkbench's own"
        )

    return asks if method in questions(base) else refuses


def _read(cls: type[StandIn], params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Values of fields from JSON: of paths as such. Raises KeyError and the like for other parameters."""
    if len(params) != len(cls.model_fields):
        raise KeyError
    for name, field in cls.model_fields.items():
        value = params[field.alias or name]
        if mentions(field.annotation, Path):
            value = [Path(each) for each in value] if isinstance(value, list) else value and Path(value)
        yield field.alias or name, value


def _validation_error(name: str, problems: Any, params: Mapping[str, Any]) -> ValidationError:
    """What the class itself raised, as it was told."""
    if not problems:
        raise ValueError("wrong, but nothing is said to be")
    details = []
    for location, kind, message in problems:
        value: Any = params
        for part in location:
            try:
                value = value[part]
            except (LookupError, TypeError):
                value = None
        said = PydanticCustomError(str(kind), "{said}", {"said": shown(message)})
        details.append(InitErrorDetails(type=said, loc=tuple(location), input=value))
    return ValidationError.from_exception_data(name, details)


def with_paths(cls: Any, params: Any, load: Load) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parameters with the user's own folder for `~`, also in plugins inside, and the absolute paths that they name.

    The process of a plugin has another folder for `~`, and may read what is named and nothing else of the user's.
    """
    out, found = dict(params), []
    for name, field in cls.model_fields.items():
        key = field.alias or name
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        given: Any = out.get(key)
        values = given if isinstance(given, list) else [given]
        if mentions(field.annotation, Path):
            values = [os.path.expanduser(each) if isinstance(each, str | Path) else each for each in values]
            found += [os.path.abspath(each) for each in values if isinstance(each, str) and "\0" not in each]
        elif kind := extra.get("linkbench_use"):
            inside = [_inside(str(kind), value, load) for value in values]
            values, found = [value for value, _ in inside], [*found, *(path for _, paths in inside for path in paths)]
        if key in out:
            out[key] = list(values) if isinstance(given, list) else values[0]
    return out, tuple(dict.fromkeys(found))


def _inside(kind: str, value: Any, load: Load) -> tuple[Any, tuple[str, ...]]:
    """The same for the value of a field that is a plugin."""
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
        return value, ()
    try:
        cls = load(kind, value["use"])
    except PluginError:
        return value, ()  # whoever checks it says why
    if set(value) == {"use", "params"} and isinstance(value["params"], Mapping):
        params, paths = with_paths(cls, value["params"], load)
        return {"use": value["use"], "params": params}, paths
    given = {key: each for key, each in value.items() if key != "use"}
    params, paths = with_paths(cls, given, load)
    return {"use": value["use"], **params}, paths


def _beside(path: str, given: str) -> bool:
    """Whether a path is the given one, beneath it, or of the same name up to the ending: x.bim beside x.bed."""
    stem = os.path.splitext(given)[0] + "."
    return path == given or path.startswith((os.path.join(given, ""), stem, f"{given}."))
