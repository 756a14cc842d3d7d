"""One tree of errors.

LinkbenchError                 anything a user can mend; printed as a message, never as a traceback
├── ScenarioError              a scenario file that cannot be run: all its problems at once
├── InputError                 a file or a value that the user brought is not what it must be
│   └── WeightsError           network weights that do not fit or are not safe to read
├── PluginError                a plugin that cannot be found, imported or trusted
├── MissingLibraryError        a package that a plugin needs is not installed; says the command that installs it
│   └── MissingExtraError      the same of a package that an extra of linkbench brings
├── StoreError                 the store cannot be read or written
├── WorkerError                those who are to carry out a run's stages cannot be reached, or have other code
└── TensorFileError            a file of arrays is cut, or no such file

Each message says what, where, why and how to fix.
"""

from __future__ import annotations

from typing import NamedTuple

Location = tuple[str | int, ...]
"""Where a value stands in a file: the keys and positions that lead to it."""


class LinkbenchError(Exception):
    """Base of every error that a user can mend."""

    exit_status = 2


class Problem(NamedTuple):
    """One thing wrong in a file: where it stands and what is wrong with it."""

    where: str
    what: str
    line: int | None = None
    column: int | None = None

    def render(self, file: str) -> str:
        place = file if self.line is None else f"{file}:{self.line}:{self.column}"
        return f"{place}: {self.where}: {self.what}" if self.where else f"{place}: {self.what}"


class ScenarioError(LinkbenchError):
    """All problems of one scenario file."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        super().__init__("\n".join(problem.render(file) for problem in problems))


class InputError(LinkbenchError):
    """A file or value brought by the user is not what it must be."""


class WeightsError(InputError):
    """Network weights do not fit the architecture, or are in a form that is not safe to read."""


class PluginError(LinkbenchError):
    """A plugin cannot be found, imported or trusted."""


class MissingLibraryError(LinkbenchError):
    """A package that a plugin needs is not installed; the message holds the command that installs it."""

    def __init__(self, package: str, command: str, what: str = "this plugin") -> None:
        super().__init__(f"{what} needs the package '{package}', which is not installed. Install it with: {command}")


class MissingExtraError(MissingLibraryError):
    """A package that an extra of linkbench brings is not installed."""

    def __init__(self, what: str, module: str, extra: str) -> None:
        super().__init__(module, f"pip install 'linkbench[{extra}]'", what)


class StoreError(LinkbenchError):
    """The store cannot be read or written."""


class WorkerError(LinkbenchError):
    """Those who are to carry out the stages of a run cannot be reached, or have other code or another store."""


class TensorFileError(LinkbenchError):
    """A file is not a whole safetensors file."""
