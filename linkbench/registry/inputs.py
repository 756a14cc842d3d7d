"""The user's files behind a plugin, by content: a copy elsewhere is the same input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linkbench.api.base import Plugin
from linkbench.errors import InputError
from linkbench.registry import contents


def digests(plugin: Plugin) -> dict[str, str]:
    """Digest of every file or folder that the plugin reads, by its name relative to the parameter that names it.

    Raises InputError for what cannot be read.
    """
    roots = [Path(value) for value in _paths(plugin).values()]
    out: dict[str, str] = {}
    for path in plugin.input_files():
        name = _name(path, roots)
        number = sum(other.split("\0")[0] == name for other in out)  # files of one name, in the order of the plugin
        out[f"{name}\0{number}" if number else name] = digest(path)
    return out


def params_without_paths(plugin: Plugin, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, without those paths whose content `digests` tells."""
    files = plugin.input_files()
    told = [name for name, path in _paths(plugin).items() if any(file.is_relative_to(path) for file in files)]
    return {name: value for name, value in params.items() if name not in told}


def _paths(plugin: Plugin) -> dict[str, Path]:
    """Parameters that are paths, by the name that scenarios use."""
    values = {field.alias or name: getattr(plugin, name) for name, field in type(plugin).model_fields.items()}
    return {name: value for name, value in values.items() if isinstance(value, Path)}


def _name(path: Path, roots: list[Path]) -> str:
    """A folder's own name tells nothing; that of a file may, an id for instance."""
    inside = next((path.relative_to(root) for root in roots if path.is_relative_to(root)), Path(path.name))
    return path.name if path.is_file() and inside == Path() else str(inside)


def digest(path: Path) -> str:
    """Digest of a file's bytes, or of all names and bytes in a folder. Raises InputError."""
    try:
        return contents.folder_digest(path) if path.is_dir() else contents.file_digest(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Give a path that exists, absolute or relative to here"
        ) from None
