"""Which code behind a plugin is not linkbench's own, and which files it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from linkbench.registry.announced import OWN, Registration
from linkbench.registry.importable import importable
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, every


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
    """Files and folders that plugins may read: code, and those of the user that their parameters name. And folders of
    which they may see the names, as imports look into them."""
    whole, listed = importable([*(found.module for found in others.registrations), *others.modules])
    files = [str(path.absolute()) for spec in every(specs) for path in spec.plugin().input_files()]
    return whole + files, listed
