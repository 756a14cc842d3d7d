"""Blobs in an object store, through fsspec: `s3://bucket/prefix`, or any other file system that fsspec knows.

An object store writes each object whole or not at all, and shows it to everybody once it is written. There are no locks
and no renaming; what is read comes through a cache folder of this machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from linkbench.errors import MissingExtraError, StoreError
from linkbench.store.blobs import Info, Local
from linkbench.store.cache import Cache, is_full

PAUSES = (1.0, 4.0, 15.0)
"""Seconds before a request is tried again that was refused for the moment, besides what the library tries itself."""

LONGEST = 1 << 30
"""Bytes that a small blob may have. Whoever asks for a whole one is first told its size, by a request of its own."""

MANY = 1_000
"""Small blobs that are asked for at once."""

T = TypeVar("T")


class Bucket:
    """Blobs below a URL. Raises StoreError where it cannot be written, and MissingExtraError."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.files, self.root = _open(self.address)
        self.cache = Cache.of_environment()
        self.ahead: float | None = None
        try:
            self._asked(self._clock, pauses=())  # whether it can be read and written is known before any work
        except OSError as error:
            raise self._refused(error) from None

    def get(self, name: str) -> bytes | None:
        return self.get_many([name]).get(name)

    def get_many(self, names: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for start in range(0, len(names), MANY):
            found |= self._asked(partial(self._contents, names[start : start + MANY]))
        return found

    def _contents(self, names: list[str]) -> dict[str, bytes]:
        paths = [self._path(name) for name in names]
        found = {}
        answers = self.files.cat_ranges(paths, 0, LONGEST, on_error="return")
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, bytes):
                found[name] = answer
            elif isinstance(answer, OSError) and answer.errno == errno.EINVAL:
                found[name] = b""  # there are no bytes to be read
            elif not isinstance(answer, FileNotFoundError):
                raise answer
        return found

    def info(self, name: str) -> Info | None:
        try:
            return _info(name, self._asked(lambda: self.files.info(self._path(name))))
        except FileNotFoundError:
            return None

    def listing(self, folder: str) -> list[Info]:
        try:
            found = self._asked(lambda: self.files.find(self._path(folder), detail=True))
        except FileNotFoundError:
            return []
        start = len(self._path(""))
        return sorted(_info(path[start:], entry) for path, entry in found.items() if entry["type"] == "file")

    def fetch(self, name: str, fresh: bool = False) -> Local:
        path = self.cache.path(name)
        if not fresh:
            with contextlib.suppress(OSError):
                os.utime(path)  # it is of use
                return Local(path, new=False)
        try:
            self._download(name)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise self.cannot_write(error) from None
        return Local(path, new=True)

    def _download(self, name: str) -> None:
        for attempt in range(2):
            try:
                with self.cache.making_room(), self.cache.temporary(".safetensors") as temporary:
                    self._asked(partial(self.files.get_file, self._path(name), str(temporary)), here=True)
                    self.cache.put(name, temporary)
                return
            except OSError as error:
                if attempt or not is_full(error):
                    raise

    def temporary(self, suffix: str) -> AbstractContextManager[Path]:
        return self.cache.temporary(suffix)

    def put(self, name: str, file: Path) -> None:
        try:
            self._asked(lambda: self.files.put_file(str(file), self._path(name)))
        except FileNotFoundError as error:
            raise self._refused(error) from None
        if name.startswith("objects/"):
            self.cache.put(name, file)

    def create(self, name: str, content: bytes) -> bool:
        try:
            self._asked(lambda: self.files.pipe_file(self._path(name), content, mode="create"))
        except FileExistsError:
            return False
        return True

    def touch(self, name: str) -> None:
        content = self.get(name)
        if content is not None:
            self._asked(lambda: self.files.pipe_file(self._path(name), content))

    def move(self, name: str, to: str) -> None:
        self.cache.delete(name)
        self.cache.delete(to)
        self._asked(lambda: self.files.cp_file(self._path(name), self._path(to)))
        self.delete(name)

    def delete(self, name: str) -> None:
        self.cache.delete(name)
        with contextlib.suppress(FileNotFoundError):
            self._asked(lambda: self.files.rm_file(self._path(name)))

    def unfinished(self) -> list[Path]:
        return self.cache.unfinished()

    def copies(self) -> list[Path]:
        return [self.cache.path(info.name) for info in self.cache.held()]

    def now(self) -> float:
        if self.ahead is None:
            self._asked(self._clock)
        return time.time() + (self.ahead or 0.0)

    def cannot_write(self, error: OSError) -> StoreError:
        return self.cache.cannot_write(error)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _clock(self) -> None:
        """Learn how far the clock of the store is ahead of this machine's, by writing something."""
        path = self._path("clock")
        self.files.pipe_file(path, b"now")
        here = time.time()
        self.ahead = _modified(self.files.info(path), here) - here

    def _asked(self, ask: Callable[[], T], pauses: tuple[float, ...] | None = None, here: bool = False) -> T:
        """What the store answers; asked again after a while where it is out of reach or busy. Raises StoreError.

        That something is, or is not, there is an answer; so is a full disk, where the call writes `here`.
        """
        for pause in (*(PAUSES if pauses is None else pauses), None):
            try:
                return ask()
            except (FileNotFoundError, FileExistsError):
                raise
            except Exception as error:
                if here and is_full(error):
                    raise
                if pause is None or not _passing(error):
                    raise self._refused(error) from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _refused(self, error: Exception) -> StoreError:
        name = type(error).__name__
        if "Credential" in name or "Token" in name:
            why = f"there are no valid credentials ({error})"
            mend = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif isinstance(error, PermissionError):
            why = f"it refuses access ({error})"
            mend = "Ask for the right to list, read, write and delete there, or check the credentials in use"
        elif isinstance(error, FileNotFoundError):
            why, mend = "there is no such bucket", "Create it first, or correct the address"
        else:
            why = f"it does not answer as it should ({name}: {error})"
            mend = "Check the address, the network and AWS_ENDPOINT_URL, or run again later: what is finished is kept"
        return StoreError(f"the store {self.address} cannot be used: {why}. {mend}")


def _open(address: str) -> tuple[Any, str]:
    """The file system behind a URL, without a memory of listings, and the path in it."""
    scheme = address.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError(f"A store at {scheme}://", "fsspec", "s3") from None
    try:
        files, root = fsspec.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        if scheme == "s3":
            raise MissingExtraError("A store at s3://", "s3fs", "s3") from None
        raise StoreError(f"a store at {scheme}:// needs a package that is not installed: {error}") from None
    except ValueError as error:
        raise StoreError(
            f"{address} is no address of a store: {error}. Give a folder, or s3://bucket/prefix, with --store or "
            f"LINKBENCH_STORE"
        ) from None
    return files, str(root).rstrip("/")


def _info(name: str, found: dict[str, Any]) -> Info:
    return Info(name, int(found["size"] or 0), _modified(found, 0.0))


def _modified(found: dict[str, Any], unknown: float) -> float:
    """When something was written, Unix time; file systems name it differently, and some do not know."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "modified", "created"):
        value = found.get(name)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
    return unknown


def _passing(error: Exception) -> bool:
    """Whether the same request may succeed a little later: not where it is refused, or wrong."""
    lasting = isinstance(error, PermissionError | NotImplementedError | TypeError | ValueError)
    return not lasting and "Credential" not in type(error).__name__
