"""Blobs as files of a folder, on a disk of this machine or of the network.

Everything is written under a temporary name, flushed to the disk and renamed, so neither a killed process nor a lost
power supply leaves half a blob, and any number of processes and machines can share the folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from linkbench.errors import StoreError
from linkbench.store.blobs import Info, Local

DAY = 86_400.0


class Folder:
    """Blobs below a folder, which is made. Raises StoreError where it cannot be written."""

    what, mend = "the store", "choose another folder with --store or LINKBENCH_STORE"

    def __init__(self, path: Path) -> None:
        self.root = path.absolute()  # a plugin may change the working directory
        self.address = str(self.root)
        try:
            for part in ("objects", "keys", "tmp"):
                (path / part).mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise StoreError(
                f"{self.what} {path} cannot be written: {error.strerror}. {self.mend[0].upper()}{self.mend[1:]}"
            ) from None

    def _sweep(self) -> None:
        """Remove what killed processes left behind; nobody writes to a temporary file for a day without touching it."""
        for stale in self.unfinished():
            with contextlib.suppress(OSError):
                if stale.stat().st_mtime < time.time() - DAY:
                    stale.unlink()

    def path(self, name: str) -> Path:
        """The file of a blob."""
        return self.root / name

    def get(self, name: str) -> bytes | None:
        try:
            return self.path(name).read_bytes()
        except OSError:
            return None

    def get_many(self, names: list[str]) -> dict[str, bytes]:
        return {name: content for name in names if (content := self.get(name)) is not None}

    def info(self, name: str) -> Info | None:
        try:
            found = self.path(name).stat()
        except OSError:
            return None
        return Info(name, found.st_size, found.st_mtime)

    def listing(self, folder: str) -> list[Info]:
        files = (path for path in (self.root / folder).rglob("*") if path.is_file())
        found = (self.info(path.relative_to(self.root).as_posix()) for path in files)
        return sorted(info for info in found if info is not None)  # somebody else has just removed the others

    def fetch(self, name: str, fresh: bool = False) -> Local:
        return Local(self.path(name), new=False)

    @contextlib.contextmanager
    def temporary(self, suffix: str) -> Iterator[Path]:
        path = self.root / "tmp" / f"{secrets.token_hex(12)}{suffix}"
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):  # it has its name by now
                os.unlink(path)

    def put(self, name: str, file: Path) -> None:
        final = os.path.join(self.address, name)
        folder = os.path.dirname(final)
        handle = os.open(file, os.O_RDWR)
        try:
            os.chmod(file, 0o644)
            os.fsync(handle)  # or a crash could leave the name without the bytes
        finally:
            os.close(handle)
        try:
            os.replace(file, final)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            _flush_folder(os.path.dirname(folder))
            os.replace(file, final)
        _flush_folder(folder)  # a key must not outlive the object that it names

    def create(self, name: str, content: bytes) -> bool:
        path = os.path.join(self.address, name)
        try:
            with self._new(path) as file:
                file.write(content)
        except FileExistsError:
            return False
        return True

    def _new(self, path: str) -> BinaryIO:
        try:
            return open(path, "xb")
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return open(path, "xb")

    def touch(self, name: str) -> None:
        os.utime(self.path(name))

    def move(self, name: str, to: str) -> None:
        self.path(to).parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.path(name), self.path(to))

    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def unfinished(self) -> list[Path]:
        return sorted((self.root / "tmp").iterdir())

    def copies(self) -> list[Path]:
        return []

    def now(self) -> float:
        with self.temporary(".clock") as file:
            file.write_bytes(b"now")
            return file.stat().st_mtime

    def cannot_write(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self.what} {self.address} cannot be written: {error.strerror or error}. Free some space, or {self.mend}"
        )


def _flush_folder(folder: str) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):  # no folder can be opened on Windows
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
