"""What linkbench asks of a plugin without running it, as JSON: its parameters, and what its class and methods say.

Which facts of a class (`needs`, `eight_bit`) and which methods (`budget`, `phenotypes`) can be told follows from the
base class of its kind: those whose type is one of `FORMS`. All others are the plugin's work, which is done elsewhere.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from linkbench.api import base as kinds
from linkbench.api.base import Plugin
from linkbench.api.budget import Budget
from linkbench.api.fields import names_phenotypes
from linkbench.api.resources import Resources
from linkbench.api.schema import Schema
from linkbench.api.text import shown
from linkbench.errors import PluginError


class Form(NamedTuple):
    """How values of a type are told in JSON, and read again; reading raises ValueError for what is none."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


FORMS: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "float | None": float | None,
    "str | None": str | None,
    "dict[str, Any] | None": dict[str, Any] | None,
    "tuple[str, ...]": tuple[str, ...],
    "frozenset[str]": frozenset[str],
    "list[str]": list[str],
    "list[Path]": list[Path],
    "Resources": Resources,
    "Budget": Budget,
    "Schema": Schema,
}
"""Types that can be told in JSON, by their names in linkbench.api.base."""


@functools.cache
def _form(kind: str) -> Form:
    if FORMS[kind] is Schema:
        return Form(lambda value: value.to_json(), _schema)
    adapter: TypeAdapter[Any] = TypeAdapter(FORMS[kind])
    return Form(lambda value: adapter.dump_python(adapter.validate_python(value), mode="json"), adapter.validate_python)


def _schema(value: Any) -> Schema:
    try:
        return Schema.from_json(value)
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(str(error)) from None


ITSELF = "Architecture"
"""The type of a method that returns the plugin with other parameters; those are told."""

ARRAYS = "Artefact | None"
"""The type of a method that returns arrays, which are told beside the JSON."""


def facts(base: type[Plugin]) -> dict[str, str]:
    """What every class of a kind says, and the type of it."""
    found = {
        name: str(kind).removeprefix("ClassVar[").removesuffix("]")
        for cls in reversed(base.__mro__)
        for name, kind in vars(cls).get("__annotations__", {}).items()
        if str(kind).startswith("ClassVar[")
    }
    return {name: kind for name, kind in found.items() if kind in FORMS}


def questions(base: type[Plugin]) -> dict[str, str]:
    """The methods of a kind that are questions, and the types of their answers."""
    found = {name: str(method.__annotations__.get("return")) for name, method in methods(base).items()}
    return {name: kind for name, kind in found.items() if kind in FORMS or kind in (ITSELF, ARRAYS)}


def methods(base: type[Plugin]) -> dict[str, Any]:
    """What linkbench defines of the methods of a kind; those of pydantic are not among them."""
    return {
        name: method
        for cls in reversed(base.__mro__)
        if issubclass(cls, Plugin)
        for name, method in vars(cls).items()
        if callable(method) and not name.startswith("_") and hasattr(method, "__annotations__")
    }


def home(cls: type[Plugin]) -> type[Plugin]:
    """The class that plugin authors derive from, and the plugin is of: the nearest that linkbench.api has."""
    return next(each for each in cls.__mro__ if each.__module__.startswith(f"{kinds.__package__}."))


def describe(cls: type[Plugin]) -> dict[str, Any]:
    """A class as JSON: its home, schema and fields; what it says; which methods of its home it has written anew."""
    base = home(cls)
    said, asked = {}, []
    for name, kind in facts(base).items():
        value = getattr(cls, name)
        if isinstance(value, property):  # known of a plugin with parameters only
            asked.append(name)
        else:
            said[name] = _form(kind).write(value)
    return {
        "home": f"{base.__module__}:{base.__qualname__}",
        "doc": shown(cls.__doc__ or ""),
        "schema": cls.model_json_schema(by_alias=True),
        "fields": [_field(name, field) for name, field in cls.model_fields.items()],
        "facts": said,
        "asked": asked,
        "written": [name for name in methods(base) if getattr(cls, name) is not getattr(base, name)],
    }


def _field(name: str, field: Any) -> dict[str, Any]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return {
        "name": name,
        "alias": field.alias,
        "list": get_origin(field.annotation) in (tuple, list),
        "path": mentions(field.annotation, Path),
        "phenotype": names_phenotypes(field),
        "use": extra.get("linkbench_use"),
    }


def mentions(annotation: Any, kind: type) -> bool:
    """Whether a type is that one, or holds it."""
    return annotation is kind or any(mentions(part, kind) for part in get_args(annotation))


def tell(plugin: Plugin, question: str, given: list[Any]) -> tuple[Any, Mapping[str, Any]]:
    """What a plugin answers to a question, as JSON and arrays. Raises what the plugin raises, or PluginError."""
    base = home(type(plugin))
    kind = {**questions(base), **facts(base)}[question]
    answer = getattr(plugin, question)
    value = answer(*given) if question in questions(base) else answer
    try:
        if kind == ITSELF:
            return value.model_dump(mode="json", by_alias=True), {}
        if kind == ARRAYS:
            return (None, {}) if value is None else (value.meta, value.arrays)
        return _form(kind).write(value), {}
    except (ValidationError, ValueError, AttributeError, TypeError):
        raise PluginError(f"{type(plugin).__name__}.{question} gave {type(value).__name__}, expected {kind}") from None


def understood(base: type[Plugin], name: str, value: Any) -> Any:
    """A fact, or the answer to a question, read from JSON. Raises PluginError for what it cannot be."""
    kind = {**questions(base), **facts(base)}[name]
    try:
        return _form(kind).read(value)
    except (ValidationError, ValueError):
        raise PluginError(f"{name!r} is {shown(repr(value), 60)}, expected {kind}") from None


def home_of(described: Mapping[str, Any], kind: type[Plugin]) -> type[Plugin]:
    """The home that a description names. Raises PluginError where it is not of the kind."""
    module, _, name = str(described.get("home")).partition(":")
    if module.startswith(f"{kinds.__package__}."):
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and issubclass(found, kind):
            return found
    raise PluginError(f"its class is said to be of {shown(described.get('home'), 60)}, expected {kind.__name__}")
