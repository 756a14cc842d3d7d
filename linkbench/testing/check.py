"""One check of a plugin, what it is told of the plugin, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from linkbench.api.base import Plugin
from linkbench.testing.traces import Traces


class Skip(Exception):
    """A check does not apply; the message is the reason, and there must be one."""


class Outcome(NamedTuple):
    """What came of one check; the reason is empty where it passed."""

    check: str
    status: Literal["pass", "fail", "skip"]
    reason: str


class _Raised(NamedTuple):
    error: Exception


class Subject:
    """The plugin that is checked, with its parameters, and what the checks of its kind found out about it.

    kind, name: as registered; name is None for a class that was given as it is. target: "module:Class"; before: how
    things were before anything of the plugin was used.
    """

    def __init__(
        self,
        kind: str,
        name: str | None,
        cls: type[Plugin],
        params: Mapping[str, Any],
        folder: Path,
        before: Traces | None = None,
    ) -> None:
        self.before = Traces.now() if before is None else before
        self.kind, self.name = kind, name
        self.cls: Any = cls
        self.target = f"{cls.__module__}:{cls.__qualname__}"
        self.params = {**cls.trial(folder), **params}
        self._found: dict[Any, Any] = {}

    def plugin(self, **changes: Any) -> Any:
        """The plugin object, with parameters of its trial, those given, and these."""
        return self.cls.model_validate({**self.params, **changes}, strict=False)

    @property
    def used(self) -> bool:
        """Whether any check has used the plugin."""
        return bool(self._found)

    def once(self, what: Callable[[Subject], Any]) -> Any:
        """The result of a function of the subject, computed once, so that several checks can look at it."""
        if what not in self._found:
            try:
                self._found[what] = what(self)
            except Exception as error:
                self._found[what] = _Raised(error)
        found = self._found[what]
        if isinstance(found, _Raised):
            raise found.error
        return found


Check = Callable[[Subject], None]


def title(check: Check) -> str:
    return check.__name__.replace("_", " ")


def run_check(check: Check, subject: Subject) -> Outcome:
    """One check; whatever the plugin raises, SystemExit and the like too, is a failure."""
    try:
        check(subject)
    except Skip as skip:
        reason = str(skip).strip()
        return Outcome(title(check), "skip", reason) if reason else Outcome(title(check), "fail", "skipped, no reason")
    except AssertionError as error:
        return Outcome(title(check), "fail", str(error) or "an assertion failed")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Outcome(title(check), "fail", f"{type(error).__name__}: {error}")
    return Outcome(title(check), "pass", "")
