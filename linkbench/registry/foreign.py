"""Which code behind a plugin is not linkbench's own, and which files it needs."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.registry.code_digest import find
from linkbench.registry.registry import Registration, registry
from linkbench.registry.spec import Spec, every

OWN = "linkbench"
"""The distribution, and the package, whose code is the harness's own."""


class Foreign(NamedTuple):
    """What is not linkbench's own: plugins by their registrations, and modules that parameters name."""

    registrations: list[Registration]
    modules: list[str]

    def __bool__(self) -> bool:
        return bool(self.registrations or self.modules)


def foreign(specs: Iterable[Spec]) -> Foreign:
    """What of these plugins, and of those inside them, is not linkbench's own."""
    registrations: list[Registration] = []
    modules: list[str] = []
    for spec in every(specs):
        found = registry().find(spec.kind, spec.name)
        if found.distribution != OWN and found not in registrations:
            registrations.append(found)
        modules += [name for name in spec.plugin().code_modules() if name.partition(".")[0] != OWN]
    return Foreign(registrations, modules)


def readable(specs: Iterable[Spec], others: Foreign) -> tuple[list[str], list[str]]:
    """Files and folders that plugins may read: Python, what it can import, their own files and those of the user that
    their parameters name. And folders of which they may see the names, as imports look into them."""
    whole = {sys.prefix, sys.exec_prefix, *_python()}
    listed = []
    for entry in (os.path.realpath(path) for path in sys.path if path):
        if any(Path(entry).is_relative_to(path) for path in whole):
            continue
        listed.append(entry)
        whole.update(_importable(entry))
    for module in (OWN, *(found.module for found in others.registrations), *others.modules):
        source = find(module.partition(".")[0])
        if source is not None:
            whole.add(str(source.file.parent if source.file.name == "__init__.py" else source.file))
    files = [str(path.absolute()) for spec in every(specs) for path in spec.plugin().input_files()]
    return sorted(whole) + files, listed


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
