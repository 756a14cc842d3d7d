"""What the installed plugins are and which parameters they take, remembered between commands.

To know a plugin's parameters its module must be imported, and there are many modules. So what was found is kept in a
file of the store, together with the times and size of every module that was imported for it; as soon as one of them,
a registration or the interpreter is another, everything is looked up anew. Plugins that cannot be imported are not
remembered: they are tried again each time.
"""

from __future__ import annotations

from typing import Any

from linkbench.errors import PluginError
from linkbench.registry.announced import Registration
from linkbench.registry.memory import Memory, imported
from linkbench.registry.registry import registry
from linkbench.store.location import local_path


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
    # packages of others have memories of their own
    own = {found for found in _registrations() if found.distribution not in registry().packages}
    memory = Memory(local_path() / "plugins.json", [sorted(list(found) for found in own)])
    out: dict[tuple[str, str], dict[str, Any] | PluginError] = {}
    for found in _registrations():
        place = f"{found.kind} {found.name}"
        try:
            if found in own and place in memory.known:
                schema = memory.known[place]
            else:
                schema = registry().schema(found.kind, found.name)
                if found in own:
                    memory.known[place], memory.news = schema, True
        except PluginError as error:
            out[found.kind, found.name] = error
            continue
        out[found.kind, found.name] = schema
    memory.modules |= imported()
    memory.keep()
    registry().rest()
    return out


def _registrations() -> list[Registration]:
    return [found for plugins in registry().plugins.values() for found in plugins.values()]
