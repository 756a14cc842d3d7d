"""The folders that plugins may write, one for each process; none outlives for long the linkbench that made it.

A process that is killed cannot clear up. So the name of a folder tells who made it, and whoever makes the first one
clears away those whose maker is gone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PREFIX = "linkbench-plugin-"
"""Then the space of process numbers, the number of the maker, when that began, and something random."""

DEEP = 20
"""Folders within each other that are unreadable: each attempt to remove them comes one deeper."""


def make() -> str:
    """A new folder."""
    _clear_away(tempfile.gettempdir())
    return tempfile.mkdtemp(prefix=f"{PREFIX}{_numbering()}-{os.getpid()}-{_began(os.getpid())}-")


def remove(folder: str) -> None:
    """Remove a folder with all that is in it, also what a plugin has made unreadable."""

    def with_rights(call: Callable[[str], Any], path: str, error: Any) -> None:
        for each in (os.path.dirname(path), path):
            if each.startswith(folder) and not os.path.islink(each):
                with contextlib.suppress(OSError):
                    os.chmod(each, 0o700)

    for _ in range(DEEP):
        with contextlib.suppress(RecursionError):
            shutil.rmtree(folder, onerror=with_rights)
        if not os.path.lexists(folder):
            return


@functools.cache
def _clear_away(place: str) -> None:
    """Remove what processes of this user left here that are no more; others have their own numbers, or are at work."""
    with contextlib.suppress(OSError):
        for folder in Path(place).glob(f"{PREFIX}*"):
            numbering, _, rest = folder.name.removeprefix(PREFIX).partition("-")
            process, began, *_ = [*rest.split("-"), "", ""]
            if numbering != _numbering() or not process.isdecimal() or _began(int(process)) == began:
                continue
            with contextlib.suppress(OSError):
                if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                    remove(str(folder))


def _numbering() -> str:
    """Of which space of process numbers this process is: containers may share a folder, and count on their own."""
    with contextlib.suppress(OSError):
        return "".join(filter(str.isdecimal, os.readlink("/proc/self/ns/pid")))
    return "0"


def _began(process: int) -> str:
    """When a process began, in ticks of the system's clock; "0" where the system does not tell, empty if it is gone."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
        return status.rpartition(")")[2].split()[19]  # the name in front may hold anything
    except OSError:
        pass
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # anybody may name a folder, with any number
        return ""
    except OSError:
        pass
    return "0"
