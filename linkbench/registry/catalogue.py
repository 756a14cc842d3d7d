"""What the installed plugins are and which parameters they take, remembered between commands.

To know a plugin's parameters its module must be imported, and there are many modules. So what was found is kept in a
file of the store, together with the time and size of every module that was imported for it; as soon as one of them,
a registration or the interpreter is another, everything is looked up anew. Plugins that cannot be imported are not
remembered: they are tried again each time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from linkbench.errors import PluginError
from linkbench.registry import contents
from linkbench.registry.registry import Registration, registry
from linkbench.version import __version__

FORMAT = 1
"""Version of the remembered file."""


def describe() -> list[dict[str, Any]]:
    """Every plugin with its parameters as JSON values; one that cannot be imported has a reason instead."""
    schemas = parameter_schemas()
    out = []
    for found in _registrations():
        schema = schemas[found.kind, found.name]
        entry: dict[str, Any] = {**found._asdict(), "parameters": {}, "broken": None}
        if isinstance(schema, PluginError):
            entry["broken"] = str(schema)
        else:
            entry |= {"parameters": schema.get("properties", {}), "required": schema.get("required", [])}
        out.append(entry)
    return out


def parameter_schemas() -> dict[tuple[str, str], dict[str, Any] | PluginError]:
    """JSON Schema of the parameters of every plugin, by kind and name, or why it cannot be imported."""
    from linkbench.store.location import local_path

    file = local_path() / "plugins.json"
    known, modules = _remembered(file)
    out: dict[tuple[str, str], dict[str, Any] | PluginError] = {}
    news = False
    for found in _registrations():
        schema = known.get(f"{found.kind} {found.name}")
        if schema is None:
            try:
                schema = registry().load(found.kind, found.name).model_json_schema(by_alias=True)
                news = True
            except PluginError as error:
                out[found.kind, found.name] = error
                continue
        out[found.kind, found.name] = schema
    if news:
        good = {" ".join(key): schema for key, schema in out.items() if not isinstance(schema, PluginError)}
        _remember(file, good, {*modules, *_imported()})
    return out


def _registrations() -> list[Registration]:
    return [found for plugins in registry().plugins.values() for found in plugins.values()]


def _circumstances() -> list[Any]:
    """What besides the modules decides the answer."""
    return [FORMAT, __version__, sys.version, [list(found) for found in _registrations()]]


def _imported() -> set[str]:
    return {path for module in list(sys.modules.values()) if isinstance(path := getattr(module, "__file__", None), str)}


def _remembered(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Schemas by `kind name`, and the modules they came from; empty if anything is not as it was, or damaged."""
    try:
        record = json.loads(file.read_bytes())
        modules, schemas = record["modules"], record["schemas"]
        if record["circumstances"] != _circumstances() or any(_stamp(path) != stamp for path, stamp in modules.items()):
            return {}, []
        return (schemas, list(modules)) if all(isinstance(schema, dict) for schema in schemas.values()) else ({}, [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, []


def _remember(file: Path, schemas: dict[str, Any], modules: set[str]) -> None:
    stamps = {path: stamp for path in sorted(modules) if (stamp := _stamp(path))}
    contents.keep(file, json.dumps({"circumstances": _circumstances(), "modules": stamps, "schemas": schemas}))


def _stamp(path: str) -> list[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]
