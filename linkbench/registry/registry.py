"""The registry: which plugins there are, from where, and the classes behind them.

Registrations are data, so listing plugins imports none of them. Code of other packages is never imported here: each has
a process of its own that answers for it (`packages`). A package that cannot be imported, or that registers nonsense, is
kept as a `Broken` entry with its reason and hurts nobody else.
"""

from __future__ import annotations

import atexit
import difflib
import functools
import importlib
import importlib.metadata
import os
import re
from typing import Any

from linkbench.api.kinds import KINDS
from linkbench.api.text import shown
from linkbench.errors import PluginError
from linkbench.registry.announced import OWN, Announced, Broken, Registration, announced, silence
from linkbench.registry.packages import Package, broken_import

API = 1
"""Version of the plugin form; a registration says which one it was written for."""

SUMMARY = 200
"""Letters of what a package says about a plugin that are shown."""

FEW = 20
"""The most names that a message lists."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]|/(?=[a-z0-9])){0,63}")
_TARGET = re.compile(r"[\w.]+:[\w.]+")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Registry:
    """All registrations by kind and name. Classes are imported when asked for; those of `packages` are not, but asked
    about in a process apart, and stood in for."""

    def __init__(self) -> None:
        self.plugins: dict[str, dict[str, Registration]] = {kind: {} for kind in KINDS}
        self.broken: list[Broken] = []
        self.packages: dict[str, Package] = {}

    def everyone(self) -> list[Registration]:
        """All registrations of other packages."""
        return [found for kind in self.plugins.values() for found in kind.values() if found.distribution != OWN]

    def add(self, what: Announced, distribution: str, version: str) -> None:
        """Take in what an entry point announces; problems become `broken` entries."""
        self.broken += [Broken(distribution, name, reason) for name, reason in what.broken]
        for kind, name, target, summary, api in what.plugins:
            problem = None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                problem = "a name has 1 to 64 of a-z 0-9 . _ / - and starts with a letter or digit"
            elif api != API:
                problem = (
                    f"was written for plugin form {api}, this linkbench has form {API}; install a matching version"
                )
            elif not isinstance(target, str) or not _TARGET.fullmatch(target):
                problem = f"the target {target!r} is not of the form 'package.module:Class'"
            elif name in self.plugins[kind]:
                problem = f"{kind} {name!r} is already registered by {self.plugins[kind][name].distribution}"
            if problem:
                self.broken.append(Broken(distribution, shown(name, SUMMARY), shown(problem)))
                continue
            self.plugins[kind][name] = Registration(kind, name, target, shown(summary, SUMMARY), distribution, version)

    def find(self, kind: str, name: str) -> Registration:
        """The registration. Raises PluginError with the nearest name, or the reason why a package is broken."""
        try:
            return self.plugins[kind][name]
        except KeyError:
            pass
        known = sorted(self.plugins[kind])
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        broken = "; ".join(f"{entry.distribution} is broken: {entry.reason}" for entry in self.broken)
        raise PluginError(
            f"there is no {kind} {name!r}; {hint}"
            + (
                f"known: {', '.join(known) or 'none'}"
                if len(known) <= FEW
                else f"linkbench plugins --kind {kind} lists all"
            )
            + (f"; {broken}" if broken else "")
        )

    def load(self, kind: str, name: str) -> Any:
        """The plugin class, or what stands in for that of another package.

        Raises PluginError if it cannot be imported or is not of its kind.
        """
        found = self.find(kind, name)
        package = self.packages.get(found.distribution)
        return self.imported(kind, name) if package is None else package.stand_in(found)

    def schema(self, kind: str, name: str) -> dict[str, Any]:
        """The JSON Schema of a plugin's parameters. Raises PluginError as `load` does."""
        found = self.find(kind, name)
        package = self.packages.get(found.distribution)
        if package is not None:
            schema: dict[str, Any] = package.described(found)["schema"]
            return schema
        return dict(self.imported(kind, name).model_json_schema(by_alias=True))

    def imported(self, kind: str, name: str) -> Any:
        """The plugin class itself, imported into this process. Raises PluginError as `load` does."""
        registration = self.find(kind, name)
        module_name, _, attribute = registration.target.partition(":")
        base = getattr(importlib.import_module("linkbench.api.base"), KINDS[kind].base)
        said: list[list[str]] = []
        try:
            with silence(name, said):
                target = getattr(importlib.import_module(module_name), attribute)
                good = isinstance(target, type) and issubclass(target, base)
                if good:
                    target.model_rebuild()  # looks at the types of its parameters, and here it is known whose they are
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(broken_import(registration, f"{type(error).__name__}: {shown(error)}")) from error
        self.broken += [Broken(registration.distribution, *each) for each in said]
        if not good:
            raise PluginError(
                f"{registration.where}: {registration.target} is not a subclass of linkbench.{base.__name__}"
            )
        return target

    def rest(self) -> None:
        """End the processes of packages, which start again when they are asked anew, and remember what they said."""
        for package in self.packages.values():
            self.broken += [Broken(package.distribution, "output", each) for each in package.rest()]

    def name_of(self, kind: str, cls: type) -> str:
        """The name under which a class is registered. Raises PluginError if it is not."""
        target = f"{cls.__module__}:{cls.__qualname__}"
        for name, registration in self.plugins[kind].items():
            if registration.target == target:
                return name
        raise PluginError(f"{target} is registered as no {kind}; register it in a package")


_ONLY: list[Registration] | None = None


def only(plugins: list[list[str]]) -> None:
    """From now on there are linkbench's own plugins and these registrations, whatever else is installed.

    For the process of a plugin, in which the code of no other may run.
    """
    global _ONLY
    _ONLY = [Registration(*plugin) for plugin in plugins]
    registry.cache_clear()


@functools.cache
def registry() -> Registry:
    """Built-ins and every installed package with an entry point in the group `linkbench`, asked once."""
    # by name: what the code of a stage reaches is found by its imports, and a list of names decides no number
    builtins, own = (importlib.import_module(f"linkbench.{name}") for name in ("registry.builtins", "version"))
    out = Registry()
    out.add(announced(OWN, lambda: builtins), OWN, own.__version__)
    if _ONLY is not None:
        for plugin in _ONLY:
            out.plugins[plugin.kind][plugin.name] = plugin
        return out
    installed: dict[tuple[str, str], list[importlib.metadata.EntryPoint]] = {}
    for entry in sorted(importlib.metadata.entry_points(group="linkbench"), key=lambda entry: entry.name):
        name, version = (str(entry.dist.name), shown(entry.dist.version)) if entry.dist else ("unknown", "0")
        installed.setdefault((name, version), []).append(entry)
    for (name, version), entries in installed.items():
        if name == OWN:
            out.broken.append(Broken(name, entries[0].name, "has linkbench's own name; give the package another"))
        elif not _DISTRIBUTION.fullmatch(name):  # it becomes the name of a file
            reason = "its distribution has a name that no package index takes; give the package another"
            out.broken.append(Broken(shown(name, SUMMARY), shown(entries[0].name, SUMMARY), reason))
        elif hasattr(os, "fork"):
            package = Package(name, version, {entry.name: entry.value for entry in entries}, out.everyone, out.load)
            out.packages[name] = package
            for what in package.announced():
                out.add(what, name, version)
        else:
            for entry in entries:
                out.add(announced(entry.name, entry.load), name, version)
    return out


@atexit.register
def forget() -> None:
    """Look at what is installed anew, if anybody asks again."""
    if registry.cache_info().currsize:
        registry().rest()
    registry.cache_clear()
