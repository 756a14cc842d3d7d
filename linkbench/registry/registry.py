"""The registry: which plugins there are, from where, and the classes behind them.

Registrations are data, so listing plugins imports none of them. A plugin package that cannot be imported, or that
registers nonsense, is kept as a `Broken` entry with its reason and hurts nobody else.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import importlib.metadata
import io
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from linkbench.api.hookspecs import Hooks
from linkbench.api.kinds import KINDS
from linkbench.api.text import shown
from linkbench.errors import PluginError

API = 1
"""Version of the plugin form; a registration says which one it was written for."""

SUMMARY = 200
"""Letters of what a package says about a plugin that are shown."""

FEW = 20
"""The most names that a message lists."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]|/(?=[a-z0-9])){0,63}")


class Registration(NamedTuple):
    """One plugin as its package announces it."""

    kind: str
    name: str
    target: str
    summary: str
    distribution: str
    version: str

    @property
    def module(self) -> str:
        """The module that the plugin is in."""
        return self.target.partition(":")[0]


class Broken(NamedTuple):
    """A package, or a single registration, that cannot be used, and why."""

    distribution: str
    name: str
    reason: str


class Registry:
    """All registrations by kind and name; classes are imported when asked for."""

    def __init__(self) -> None:
        self.plugins: dict[str, dict[str, Registration]] = {kind: {} for kind in KINDS}
        self.broken: list[Broken] = []

    def add_module(self, module: object, distribution: str, version: str) -> None:
        """Collect what one plugin module registers; problems become `broken` entries."""
        manager = pluggy.PluginManager("linkbench")
        manager.add_hookspecs(Hooks)
        try:
            manager.register(module)
            manager.check_pending()
        except Exception as error:
            self.broken.append(Broken(distribution, str(getattr(module, "__name__", module)), shown(error)))
            return
        for kind, record in KINDS.items():
            try:
                with self._silence(distribution, record.hook):
                    getattr(manager.hook, record.hook)(
                        register=functools.partial(self._register, kind, distribution, version)
                    )
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self.broken.append(Broken(distribution, record.hook, f"{type(error).__name__}: {shown(error)}"))

    @contextlib.contextmanager
    def _silence(self, distribution: str, name: str) -> Iterator[None]:
        """Keep what is printed at import out of linkbench's own output, and say who printed it."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            yield
        if text := printed.getvalue().strip():
            first = repr(text if len(text) <= 60 else text[:57] + "...")
            self.broken.append(Broken(distribution, name, f"printed {first} when it was imported; that is kept out"))

    def _register(
        self, kind: str, distribution: str, version: str, name: str, target: str, *, summary: str, api: int
    ) -> None:
        problem = None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problem = "a name has 1 to 64 of a-z 0-9 . _ / - and starts with a letter or digit"
        elif api != API:
            problem = f"was written for plugin form {api}, this linkbench has form {API}; install a matching version"
        elif not isinstance(target, str) or target.count(":") != 1:
            problem = f"the target {target!r} is not of the form 'package.module:Class'"
        elif name in self.plugins[kind]:
            problem = f"{kind} {name!r} is already registered by {self.plugins[kind][name].distribution}"
        if problem:
            self.broken.append(Broken(distribution, shown(name, SUMMARY), shown(problem)))
            return
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
        """The plugin class. Raises PluginError if it cannot be imported or is not of its kind."""
        registration = self.find(kind, name)
        module_name, _, attribute = registration.target.partition(":")
        where = f"{kind} {name!r} of {registration.distribution} {registration.version}"
        base = getattr(importlib.import_module("linkbench.api.base"), KINDS[kind].base)
        try:
            with self._silence(registration.distribution, name):
                target = getattr(importlib.import_module(module_name), attribute)
                good = isinstance(target, type) and issubclass(target, base)
                if good:
                    target.model_rebuild()  # looks at the types of its parameters, and here it is known whose they are
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{where} cannot be imported ({registration.target}): {type(error).__name__}: {shown(error)}. "
                f"Repair or uninstall {registration.distribution}"
            ) from error
        if not good:
            raise PluginError(f"{where}: {registration.target} is not a subclass of linkbench.{base.__name__}")
        return target

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
    """Built-ins and every installed package with an entry point in the group `linkbench`, loaded once."""
    # by name: what the code of a stage reaches is found by its imports, and a list of names decides no number
    builtins, own = (importlib.import_module(f"linkbench.{name}") for name in ("registry.builtins", "version"))
    out = Registry()
    out.add_module(builtins, "linkbench", own.__version__)
    if _ONLY is not None:
        for plugin in _ONLY:
            out.plugins[plugin.kind][plugin.name] = plugin
        return out
    for entry in sorted(importlib.metadata.entry_points(group="linkbench"), key=lambda entry: entry.name):
        distribution = entry.dist.name if entry.dist else "unknown"
        version = entry.dist.version if entry.dist else "0"
        try:
            with out._silence(distribution, entry.name):
                module = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            out.broken.append(Broken(distribution, entry.name, f"{type(error).__name__}: {shown(error)}"))
            continue
        if isinstance(module, ModuleType | type) or hasattr(module, "__dict__"):
            out.add_module(module, distribution, version)
    return out
