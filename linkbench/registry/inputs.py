"""The user's files behind a plugin, by content: a copy elsewhere is the same input."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linkbench.api.base import Plugin
from linkbench.errors import InputError
from linkbench.store.location import default_path


def digests(plugin: Plugin) -> list[list[str]]:
    """[name, digest] of every file or folder that the plugin reads, names relative to the parameter that names them.

    Raises InputError for what cannot be read.
    """
    roots = [Path(value) for value in _paths(plugin).values()]
    return [[_name(path, roots), digest(path)] for path in plugin.input_files()]


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
        return _folder_digest(path) if path.is_dir() else _file_digest(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Give a path that exists, absolute or relative to here"
        ) from None


@functools.lru_cache(maxsize=256)
def _known_file(path: Path, size: int, time_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_digest(path: Path) -> str:
    found = path.stat()
    return _known_file(path.absolute(), found.st_size, found.st_mtime_ns)


def _folder_digest(folder: Path) -> str:
    """A folder may hold millions of photos: its digest is remembered by the names, sizes and times of its files."""
    found = sorted(_files(folder, ""))
    seen = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    kept = default_path() / "folders" / seen
    try:
        known = kept.read_text(encoding="ascii")
        if len(known) == 64 and set(known) <= set("0123456789abcdef"):
            return known
    except (OSError, ValueError):
        pass
    content = hashlib.sha256()
    for name, _, _ in found:
        content.update(f"{name}\0{_file_digest(folder / name)}\0".encode())
    _keep(kept, content.hexdigest())
    return content.hexdigest()


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file():
                stat = entry.stat()
                yield f"{prefix}{entry.name}", stat.st_size, stat.st_mtime_ns


def _keep(file: Path, text: str) -> None:
    """Whole or not at all; a folder that cannot be written only costs time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".folder", dir=file.parent)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(text)
        os.replace(temporary, file)
    except OSError:
        pass
