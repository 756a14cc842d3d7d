"""What a package announces: its plugins, as data, and what of it cannot be used."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from linkbench.api.hookspecs import Hooks
from linkbench.api.kinds import KINDS
from linkbench.api.text import shown

OWN = "linkbench"
"""The distribution, and the package, whose code is the harness's own."""


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

    @property
    def where(self) -> str:
        """The plugin and its package, as messages name them."""
        return f"{self.kind} {self.name!r} of {self.distribution} {self.version}"


class Broken(NamedTuple):
    """A package, or a single registration, that cannot be used, and why."""

    distribution: str
    name: str
    reason: str


class Announced(NamedTuple):
    """What one entry point announces, unchecked.

    plugins: kind, name, target, summary and form of each; broken: names and reasons; complete: whether nothing failed,
    so that it would say the same again.
    """

    plugins: list[list[Any]]
    broken: list[list[str]]
    complete: bool


def announced(name: str, load: Callable[[], object]) -> Announced:
    """What the object behind an entry point announces; load: imports it, which runs code of the package."""
    out = Announced([], [], True)
    module, loaded = _called(name, out.broken, load)
    if not loaded:
        return out._replace(complete=False)
    if not (isinstance(module, ModuleType | type) or hasattr(module, "__dict__")):
        return out
    manager = pluggy.PluginManager("linkbench")
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module)
        manager.check_pending()
    except Exception as error:
        out.broken.append([str(getattr(module, "__name__", module)), shown(error)])
        return out._replace(complete=False)
    called = [
        _called(record.hook, out.broken, functools.partial(
            getattr(manager.hook, record.hook), register=functools.partial(_register, out.plugins, kind)
        ))
        for kind, record in KINDS.items()
    ]  # fmt: skip
    return out._replace(complete=all(done for _, done in called))


def _called(name: str, broken: list[list[str]], run: Callable[[], Any]) -> tuple[Any, bool]:
    """What code of a package returns, and whether it returned at all; what it printed or raised is kept as broken."""
    try:
        with silence(name, broken):
            return run(), True
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        broken.append([name, f"{type(error).__name__}: {shown(error)}"])
        return None, False


def _register(plugins: list[list[Any]], kind: str, name: str, target: str, *, summary: str, api: int) -> None:
    plugins.append([kind, *(_plain(value) for value in (name, target, summary, api))])


def _plain(value: Any) -> Any:
    """The value where JSON has it, for nothing else is a registration."""
    return value if type(value) in (str, int, float, bool) else None


@contextlib.contextmanager
def silence(name: str, broken: list[list[str]]) -> Iterator[None]:
    """Keep what is printed at import out of linkbench's own output, and say that it was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        yield
    if text := out.getvalue().strip():
        broken.append([name, printed(text)])


def printed(text: str) -> str:
    """What is said of what a package printed."""
    first = repr(text if len(text) <= 60 else text[:57] + "...")
    return f"printed {first} when it was imported; that is kept out"
