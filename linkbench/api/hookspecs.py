"""The hooks, one for each kind of plugin. Each gets a `register` function and calls it once per plugin, with data only:

register(name, target, summary="...", api=1) - `target` is "package.module:Class", imported only when needed.

    from linkbench.api.hookspecs import hookimpl

    @hookimpl
    def register_defenders(register):
        register("darken", "my_defender.darken:Darken", summary="makes the photo darker", api=1)

The names of the hooks stand in linkbench.api.kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pluggy

from linkbench.api.kinds import KINDS, Kind

hookspec = pluggy.HookspecMarker("linkbench")
hookimpl = pluggy.HookimplMarker("linkbench")
"""Marks a function of a plugin package as a hook: `@hookimpl` above `def register_defenders(register)`."""


class Register(Protocol):
    """What a hook is given to announce plugins with, data only."""

    def __call__(self, name: str, target: str, *, summary: str, api: int) -> None:
        """One plugin: its name in scenarios, "package.module:Class", a line for listings, and the form it has (1)."""


class Hooks:
    """The specifications, as attributes named like the hooks."""


def _specification(kind: Kind) -> Callable[[Register], None]:
    def specified(register: Register) -> None: ...

    specified.__name__, specified.__doc__ = kind.hook, kind.what
    return hookspec(specified)


for _kind in KINDS.values():
    setattr(Hooks, _kind.hook, staticmethod(_specification(_kind)))
