"""Digests of code: an edited stage or plugin must not be mistaken for the one whose results are in the store.

The digest of a module covers it and every module of its own package, or of linkbench, that running it can reach:
imports anywhere in it, inside functions too, as far as they go; imports for type checkers alone are none. What counts
of a module is what Python compiles, so comments, docstrings and layout do not. A module that reads files of its
package (importlib.resources, pkgutil or __file__) brings their content along. Nothing is executed, and what was found
in a text is remembered in the folder of the store.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from linkbench import public
from linkbench.registry import contents
from linkbench.store.location import local_path

NUMERICAL = {"numpy": "numpy", "torch": "torch", "scipy": "scipy", "PIL": "pillow"}
"""Libraries that decide numbers: package, and the distribution whose version becomes part of a key."""

FACE = "linkbench"
"""The package whose names live elsewhere: linkbench.public says where."""

DATA = {"importlib.resources", "pkgutil", "__file__"}
"""What a module uses that reads files of its package."""

FORMAT = 2
"""Raised when more is found in texts, or it is written down otherwise."""


class Source(NamedTuple):
    """The file of a module, and the package from which its relative imports start."""

    file: Path
    package: str


class Code(NamedTuple):
    """A module with all that it can reach: digest, the modules, and the numerical libraries among them."""

    digest: str
    modules: frozenset[str]
    libraries: frozenset[str]
    sources: tuple[tuple[Source, str], ...]
    """Where each module was read, and the digest of what counts of it."""
    stamps: dict[str, list[int]]
    """Times and size of each of their files before that."""

    def edited(self) -> bool:
        """Whether a module has changed since it was read: if it was imported after that, it is not the one digested."""
        try:
            if not contents.changed(self.stamps):  # asked after every stage
                return False
            return any(
                contents.stamp(source.file) != self.stamps[str(source.file)]
                and read(source.file.read_bytes(), source.package).digest != digest
                for source, digest in self.sources
            )
        except OSError:
            return True


class Facts(NamedTuple):
    """What counts of one module: the digest of what is compiled, and full names of what it imports.

    Of `from a import b` both a and a.b are given, as b may be a module. Use of `__file__` counts as an import.
    """

    digest: str
    imports: tuple[str, ...]


def code_digest(module: str) -> str:
    """Digest of a module and of all that it can reach; the same for all modules without a source."""
    return code_of(module).digest


@functools.cache
def code_of(module: str) -> Code:
    """The code behind a module."""
    roots = {module.partition(".")[0], FACE}
    seen: dict[str, str] = {}
    libraries: set[str] = set()
    sources, stamps = [], {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        root = name.partition(".")[0]
        if root in NUMERICAL:
            libraries.add(root)
        if name in seen or root not in roots or (name == FACE and module != FACE):
            continue
        source = find(name)
        if source is None:
            continue
        stamps[str(source.file)] = contents.stamp(source.file)
        known = facts(source)
        seen[name] = known.digest
        sources.append((source, known.digest))
        if DATA.intersection(known.imports):
            seen[f"{name} data"] = _data_digest(source.file.parent)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        waiting += [other for other in known.imports if not other.endswith(".*")]
        waiting += [home for other in known.imports for home in _home(other)]
    _MEMORY.keep()
    digest = hashlib.sha256(json.dumps(sorted(seen.items())).encode()).hexdigest()[:16]
    return Code(digest, frozenset(seen), frozenset(libraries), tuple(sources), stamps)


@functools.cache
def version_of(distribution: str) -> str | None:
    """The installed version, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def find(module: str) -> Source | None:
    """Where a module's source is, without importing it or its parents; None if it has none."""
    root, *rest = module.split(".")
    spec = _root(root)
    if spec is None:
        return None
    origin, folders = spec
    if not rest:
        return Source(origin, root) if origin.suffix == ".py" and origin.is_file() else None
    for folder in folders:
        inside = Path(folder, *rest)
        for file, package in ((inside.with_suffix(".py"), module.rpartition(".")[0]), (inside / "__init__.py", module)):
            if file.is_file():
                return Source(file, package)
    return None


@functools.cache
def _root(name: str) -> tuple[Path, list[str]] | None:
    with contextlib.suppress(ValueError):  # a module made by hand has no spec
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin), list(spec.submodule_search_locations or [])
    return None


@functools.cache
def facts(source: Source) -> Facts:
    """What counts of a module."""
    return _MEMORY.facts(source)


def read(content: bytes, package: str) -> Facts:
    """The facts of a module's text; of text that does not compile, its bytes."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return Facts(hashlib.sha256(content).hexdigest()[:32], ())
    at_hand = (
        ["__file__"] if any(isinstance(node, ast.Name) and node.id == "__file__" for node in ast.walk(tree)) else []
    )
    imports = tuple(dict.fromkeys([*_imports(tree, package), *at_hand]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # a docstring, or the text below a constant, is for people
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return Facts(hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:32], imports)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of all that is imported when the module runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _named(alias.name)
        elif isinstance(node, ast.ImportFrom):
            with contextlib.suppress(ImportError):  # more dots than packages: the import itself would fail
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield base
                for alias in node.names:
                    yield from _named(f"{base}.{alias.name}")
        elif isinstance(node, ast.If) and _for_types(node.test):
            for other in node.orelse:
                yield from _imports(ast.Module([other], []), package)
        else:
            yield from _imports(node, package)


def _named(name: str) -> Iterator[str]:
    """A name and, of what may be a package whose names live elsewhere, all of them: what is asked is not looked at.

    Which packages those are is no fact of this text, and is looked up when it is used.
    """
    yield name
    if name.partition(".")[0] == FACE:
        yield f"{name}.*"


def _for_types(test: ast.AST) -> bool:
    """Whether a condition is TYPE_CHECKING."""
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def _home(name: str) -> list[str]:
    """The module that a public name of linkbench comes from; of `import linkbench`, all of them."""
    package, _, attribute = name.rpartition(".")
    homes = public.homes(package)
    if attribute != "*":
        return [homes[attribute]] if attribute in homes else []
    inside = [module for inner in public.MODULES.get(package, ()) for module in _home(f"{package}.{inner}.*")]
    return [*homes.values(), *inside]


@functools.cache
def _data_digest(folder: Path) -> str:
    """Digest of all files below a folder that are no code."""
    return contents.folder_digest(folder, without=(".py", ".pyc"))


class _Memory:
    """What was found in texts, kept between commands by the digest of the text: no edit can be missed."""

    MANY = 5000
    """So many texts are remembered; beyond, those that nobody asked for are forgotten."""

    def __init__(self) -> None:
        self.known: dict[str, Any] | None = None
        self.asked: dict[str, Any] = {}
        self.news = False

    def facts(self, source: Source) -> Facts:
        content = source.file.read_bytes()
        name = hashlib.sha256(source.package.encode() + b"\0" + content).hexdigest()
        if self.known is None:
            self.known = self._load()
        found = self.known.get(name)
        if not (isinstance(found, list) and len(found) == 2 and isinstance(found[1], list)):
            digest, imports = read(content, source.package)
            found = self.known[name] = [digest, list(imports)]
            self.news = True
        self.asked[name] = found
        return Facts(found[0], tuple(found[1]))

    def keep(self) -> None:
        """Write down what is new; a folder that cannot be written only costs time."""
        if not self.news or self.known is None:
            return
        self.news = False
        self.known = self.known if len(self.known) <= self.MANY else dict(self.asked)
        contents.keep(self._file(), json.dumps(self.known))

    def _load(self) -> dict[str, Any]:
        try:
            known = json.loads(self._file().read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    @staticmethod
    def _file() -> Path:
        # what is compiled from a text is another thing for another Python
        return local_path() / f"modules-{sys.implementation.cache_tag}-{FORMAT}.json"


_MEMORY = _Memory()


def forget() -> None:
    """Look at all code anew: for tests, which edit it under a running process."""
    for cached in (code_of, version_of, find, facts, _root, _data_digest):
        cached.cache_clear()
    _MEMORY.known = None
