"""A rerun in a virtual environment of its own, with the distributions that an entry names and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path

from linkbench.errors import InputError
from linkbench.leaderboard.entry import Entry
from linkbench.leaderboard.facts import OURS

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!_-]*")
"""`name==version` and nothing else: an option or an address of a stranger's entry never reaches pip."""


def pinned(entry: Entry, instead: Iterable[Path]) -> list[str]:
    """What pip is asked for: the requirements of an entry, with folders or wheels instead of those of their names.

    Raises InputError for what is no pin, and where nothing gives a distribution its version.
    """
    wrong = next((one for one in entry.requirements if not PIN.fullmatch(one)), None)
    if wrong is not None:
        raise InputError(f"{entry.name} requires {wrong!r}, which is no NAME==VERSION")
    if not entry.requirements:
        raise InputError(f"{entry.name} names no requirements; run it in an environment of yours, with --rerun alone")
    asked = {_plain(one.partition("==")[0]): one for one in entry.requirements}
    given = {name: str(path.absolute()) for path in instead if (name := _name(path)) in asked}
    extra = f"{OURS}[photos]"  # what runs need besides, in the versions that fit
    out = [one.replace(OURS, extra, 1) if name == OURS else one for name, one in asked.items() if name not in given]
    return [*out, *(f"{path}[photos]" if name == OURS else path for name, path in given.items())]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(path: Path) -> str:
    """The distribution in a folder or wheel."""
    if path.suffix == ".whl":
        return _plain(path.name.partition("-")[0])
    import tomllib

    try:
        return _plain(str(tomllib.loads((path / "pyproject.toml").read_text())["project"]["name"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is neither a wheel nor a folder with a pyproject.toml ({error})") from None


def in_clean_environment(entry_file: Path, entry: Entry, instead: list[str], options: list[str]) -> int:
    """`linkbench leaderboard verify ENTRY --rerun` in a new environment; the exit status is that of the command.

    Raises InputError where the requirements cannot be installed.
    """
    wanted = pinned(entry, [Path(one) for one in instead])
    with tempfile.TemporaryDirectory(prefix="linkbench-environment-") as temporary:
        home = Path(temporary, "venv")
        venv.create(home, with_pip=True)
        python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, *wanted]).returncode:
            raise InputError(
                f"the requirements of {entry.name} cannot be installed: {', '.join(wanted)}. Name a folder or a wheel "
                f"of what no index has with --clean-environment"
            )
        command = [str(python), "-I", "-m", "linkbench", "leaderboard", "verify", str(entry_file.absolute()), "--rerun"]
        return subprocess.run([*command, *options], cwd=temporary).returncode
