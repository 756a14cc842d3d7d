"""Which files and folders code needs to be imported: what a process for it may read."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from linkbench.registry.announced import OWN
from linkbench.registry.code_digest import find


def importable(modules: Iterable[str]) -> tuple[list[str], list[str]]:
    """Files and folders of Python, of all that it can import and of these modules. And folders of which the names must
    be seen, as imports look into them."""
    whole = {sys.prefix, sys.exec_prefix, *_python()}
    listed = []
    for entry in (os.path.realpath(path) for path in sys.path if path):
        if any(Path(entry).is_relative_to(path) for path in whole):
            continue
        listed.append(entry)
        whole.update(_importable(entry))
    whole.update(path for module in (OWN, *modules) for path in code(module))
    return sorted(whole), listed


def code(module: str) -> list[str]:
    """The folder of a module's package, or the file of a module that stands alone; none without a source."""
    source = find(module.partition(".")[0])
    return [] if source is None else [str(source.file.parent if source.file.name == "__init__.py" else source.file)]


def _python() -> set[str]:
    """Folders of the interpreter and of what is installed for it."""
    paths: dict[str, Any] = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib") if paths.get(name)}
    base = sys.base_prefix
    return folders | ({base} if base not in ("/", "/usr", "/usr/local") else {f"{base}/lib", f"{base}/bin"})


def _importable(folder: str) -> Iterator[str]:
    """Packages, modules and the descriptions of distributions in a folder that may hold other things besides."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        if os.path.isfile(folder):  # an archive of modules
            yield folder
        return
    for entry in entries:
        if entry.is_file():
            if entry.name.endswith((".py", ".so", ".pyd", ".pth")):
                yield entry.path
        elif entry.name.endswith((".dist-info", ".egg-info", ".libs")) or (
            entry.name.isidentifier() and _is_package(entry.path)
        ):
            yield entry.path


def _is_package(folder: str) -> bool:
    try:
        with os.scandir(folder) as found:
            return any(entry.name.endswith((".py", ".so")) for entry in found)
    except OSError:
        return False
