"""Digests of code: an edited plugin must not be mistaken for the one whose results are in the store.

The digest of a module covers its own source and that of every module of the same package, or of linkbench, that it
imports, directly or not, also inside functions. Imports are found in the text; nothing is executed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

_IMPORT = re.compile(r"^[ \t]*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+([^\n#;]*))", re.MULTILINE)

_DATA_ONLY = {
    "linkbench",
    "linkbench.registry.builtins",
    "linkbench.registry.registry",
    "linkbench.scenario.load",
    "linkbench.registry.spec",
}
"""Modules that find or check plugins and cannot change what a stage computes: editing them keeps the store valid."""


class _Source(NamedTuple):
    """The bytes of a module's file, and the package from which its relative imports start."""

    content: bytes
    package: str


@functools.cache
def code_digest(module: str) -> str:
    """Digest of a module and of all it imports from its own package and from linkbench."""
    roots = {module.partition(".")[0], "linkbench"}
    seen: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name in _DATA_ONLY:
            continue
        source = _source(name)
        if source is not None:
            seen[name] = source.content
            waiting += [other for other in _imports(source) if other.partition(".")[0] in roots]
    digest = hashlib.sha256()
    for name, content in sorted(seen.items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def _imports(source: _Source) -> list[str]:
    """Full names of all that is imported; of `from a import b` both a and a.b, as b may be a module."""
    names = []
    for base, items, plain in _IMPORT.findall(source.content.decode("utf-8", "replace")):
        if not base:
            names += [item.split()[0] for item in plain.split(",") if item.strip()]
            continue
        with contextlib.suppress(ImportError):  # more dots than packages: the import itself would fail
            found = importlib.util.resolve_name(base, source.package)
            names.append(found)
            plain_items = re.sub(r"#[^\n]*", "", items).strip("() ").split(",")
            names += [f"{found}.{item.split()[0]}" for item in plain_items if item.strip()]
    return names


@functools.cache
def _source(module: str) -> _Source | None:
    """A module's source, without importing it or its parents; None if it has none."""
    root, *rest = module.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or spec.origin is None:
        return None
    if not rest:
        return _read(Path(spec.origin), root)
    for folder in spec.submodule_search_locations or []:
        inside = Path(folder, *rest)
        source = _read(inside.with_suffix(".py"), module.rpartition(".")[0]) or _read(inside / "__init__.py", module)
        if source is not None:
            return source
    return None


def _read(file: Path, package: str) -> _Source | None:
    return _Source(file.read_bytes(), package) if file.suffix == ".py" and file.is_file() else None
