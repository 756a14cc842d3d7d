"""JSON Schema of the scenario file, with the parameters of every installed plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linkbench.api.kinds import SECTIONS
from linkbench.errors import PluginError
from linkbench.registry.catalogue import parameter_schemas
from linkbench.registry.registry import registry
from linkbench.scenario.file import ModelEntry
from linkbench.scenario.tasks import DEFAULT, forms


def json_schema() -> dict[str, Any]:
    """The schema of a whole file; plugins that cannot be imported are left out."""
    definitions: dict[str, Any] = {}
    schemas = parameter_schemas()
    for kind in registry().plugins:
        definitions[f"use-{kind}"] = _uses(kind, schemas, definitions)
    definitions["model"] = ModelEntry.model_json_schema(by_alias=True)
    for part in ("architecture", "recipe"):
        definitions["model"]["properties"][part] = {"$ref": f"#/$defs/use-{part}"}
    files = {task: _file(form, definitions) for task, form in forms().items()}
    choice = files.pop(DEFAULT)
    for task, file in files.items():
        chosen = {"properties": {"task": {"const": task}}, "required": ["task"]}
        choice = {"if": chosen, "then": file, "else": choice}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "linkbench scenario",
        "type": "object",
        **choice,
        "$defs": definitions,
    }


def _file(form: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of the files of one task; what it refers to goes to the definitions."""
    schema: dict[str, Any] = form.model_json_schema(by_alias=True)
    definitions.update(schema.pop("$defs", {}))
    properties = schema["properties"]
    for section, kind in SECTIONS.items():
        if section in properties:
            one = {"$ref": f"#/$defs/use-{kind}"}
            kept = {key: properties[section][key] for key in ("default", "description") if key in properties[section]}
            properties[section] = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}], **kept}
    properties["models"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/model"}]}
    return schema


def _uses(
    kind: str, schemas: Mapping[tuple[str, str], dict[str, Any] | PluginError], definitions: dict[str, Any]
) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    names = []
    for name, registration in sorted(registry().plugins[kind].items()):
        own = schemas[kind, name]
        if isinstance(own, PluginError):
            continue
        names.append(name)
        definitions.update(own.get("$defs", {}))
        parameters = {key: _or_grid(_nested(value)) for key, value in own.get("properties", {}).items()}
        choices.append(
            {
                "type": "object",
                "description": registration.summary,
                "properties": {"use": {"const": name}, "name": {"type": "string", "maxLength": 80}, **parameters},
                "required": ["use", *own.get("required", [])],
                "additionalProperties": False,
            }
        )
    return {"anyOf": [{"enum": names}, *choices]}


def _nested(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is itself a plugin is written like one of a section."""
    if "linkbench_use" not in parameter:
        return parameter
    one = {"$ref": f"#/$defs/use-{parameter['linkbench_use']}"}
    if {"type": "null"} in parameter.get("anyOf", ()):
        return {"anyOf": [one, {"type": "null"}]}
    return {"type": "array", "items": one, "minItems": 1} if parameter.get("type") == "array" else one


def _or_grid(parameter: dict[str, Any]) -> dict[str, Any]:
    """A value, or a list of values that spans a grid."""
    return {"anyOf": [parameter, {"type": "array", "items": parameter, "minItems": 1}]}
