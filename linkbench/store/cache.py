"""Objects of a bucket on the disk of this machine: a folder of bounded size, from which the least recently used go.

Objects are named by their content, so all buckets and all processes of a machine share one folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from linkbench.errors import InputError
from linkbench.store.blobs import Info
from linkbench.store.folder import Folder

ROOM = 20 * 10**9
"""Bytes that the objects in the cache folder may take, unless `LINKBENCH_CACHE_SIZE` says otherwise."""

UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def quantity(text: str, units: dict[str, float]) -> float | None:
    """The number that a text such as `500M`, `5GB` or `30d` says, in the units given; None where it says none."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-zA-Z]?)B?", text.strip())
    return None if found is None or found[2] not in units else float(found[1]) * units[found[2]]


def is_full(error: Exception) -> bool:
    """Whether a disk of this machine has no room left, or none for this user."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class Cache(Folder):
    """A folder of copies. room: bytes that they may take; one that is larger stays until the next comes.

    Removing a copy that is in use does no harm: its bytes stay until whoever mapped it lets go.
    """

    what, mend = "the cache folder", "choose another with LINKBENCH_CACHE, or a smaller LINKBENCH_CACHE_SIZE"

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path)
        self.room = room
        self.news = room  # nobody knows yet what lies there

    @classmethod
    def of_environment(cls) -> Cache:
        """`LINKBENCH_CACHE`, with `LINKBENCH_CACHE_SIZE` bytes. Raises InputError, and StoreError as Folder does."""
        from platformdirs import user_cache_path

        asked = os.environ.get("LINKBENCH_CACHE_SIZE", "").strip()
        room = quantity(asked, UNITS) if asked else ROOM
        if room is None:
            raise InputError(f"LINKBENCH_CACHE_SIZE is {asked!r}; give a size such as 500M or 20G")
        return cls(Path(os.environ.get("LINKBENCH_CACHE") or user_cache_path("linkbench") / "cache"), int(room))

    def put(self, name: str, file: Path) -> None:
        size = file.stat().st_size
        super().put(name, file)
        self.news += size
        if self.news > self.room / 16:  # others write too: look now and then what there is
            self.news = 0
            self._shrink(self.room, but=name)

    def held(self) -> list[Info]:
        """All copies, whole ones."""
        return [info for info in self.listing("") if not info.name.startswith("tmp/")]

    def _shrink(self, room: int, but: str = "") -> None:
        """Remove the least recently used until the rest takes no more than `room` bytes; `but` stays."""
        found = self.held()
        total = sum(info.size for info in found)
        for info in sorted(found, key=lambda info: info.modified):
            if total <= room:
                break
            if info.name != but:
                with contextlib.suppress(OSError):
                    self.delete(info.name)
                total -= info.size

    @contextlib.contextmanager
    def making_room(self) -> Iterator[None]:
        """Where the disk is full, empty the cache, so that the next attempt may succeed. Passes the OSError on."""
        try:
            yield
        except OSError as error:
            if is_full(error):
                self._shrink(0)
            raise
