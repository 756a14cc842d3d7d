"""Content-addressed artefacts on disk.

    objects/ab/<sha256 of the file>.safetensors    what a stage left behind
    keys/ab/<sha256 of the key>.json               which object a stage with this key left, and the key itself
    quarantine/                                    objects whose bytes are not what they were

Everything is written under a temporary name, flushed to the disk and renamed, so neither a killed process nor a lost
power supply leaves half an entry, and any number of processes and machines can share a store. An object is verified by
its digest whenever it is read. One that fails is read again, as a network disk may show an old file for a moment; then
it is set aside, where it can be looked at, and its stage runs again. Whoever misses an object looks there too, and
puts back what is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.api.data import Artefact
from linkbench.errors import StoreError, TensorFileError
from linkbench.store import tensorfile

KEY_VERSION = 2
"""Raised when the meaning of a key changes, so that old entries are not mistaken for new ones."""


PAUSES = (0.0, 0.05, 0.25)
"""Seconds before each attempt to read an object: a network disk may lag behind what another machine wrote."""

DAY = 86_400.0

USED = 600.0
"""Seconds: so exactly is it known when an entry was last of use."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Stored(NamedTuple):
    """One finished stage: its key, the digest of what it left, and how long it took."""

    key: dict[str, Any]
    digest: str
    seconds: float


def canonical(value: Any) -> str:
    """One text for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


class Store:
    """A folder of finished stages. Raises StoreError where the folder cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # a plugin may change the working directory
        self.verified: set[str] = set()
        self.quarantined: list[Path] = []
        try:
            for part in ("objects", "keys", "tmp"):
                (path / part).mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise StoreError(
                f"the store {path} cannot be written: {error.strerror}. "
                f"Choose another folder with --store or LINKBENCH_STORE"
            ) from None

    def _sweep(self) -> None:
        """Remove what killed processes left behind; nobody writes to a temporary file for a day without touching it."""
        for stale in (self.path / "tmp").iterdir():
            with contextlib.suppress(OSError):
                if stale.stat().st_mtime < time.time() - DAY:
                    stale.unlink()

    def _key_file(self, key: dict[str, Any]) -> Path:
        name = digest_of(key)
        return self.path / "keys" / name[:2] / f"{name}.json"

    def object_file(self, digest: str) -> Path:
        return self.path / "objects" / digest[:2] / f"{digest}.safetensors"

    def find(self, key: dict[str, Any]) -> Stored | None:
        """The entry of a finished stage, or None; damaged entries count as none."""
        path = self._key_file(key)
        found = read_entry(path)
        if found is None or found.key != key:
            return None
        with contextlib.suppress(OSError):  # a store that is only read
            if path.stat().st_mtime < time.time() - USED:
                os.utime(path)  # when it was last of use, for whoever makes room
        return found

    def read(self, digest: str) -> Artefact | None:
        """The artefact, memory-mapped, or None if it is gone or damaged; a damaged one is set aside."""
        for pause in PAUSES:
            time.sleep(pause)
            if (found := self._read(digest)) is not None:
                return found
        return self._read(digest) if self._put_in_order(digest) else None

    def _read(self, digest: str) -> Artefact | None:
        path = self.object_file(digest)
        try:
            if digest not in self.verified:
                if tensorfile.file_digest(path) != digest:
                    return None
                self.verified.add(digest)
            return tensorfile.read(path)
        except (OSError, TensorFileError):
            self.verified.discard(digest)
            return None

    def quarantine_file(self, digest: str) -> Path:
        """Where an object is set aside once it is damaged."""
        return self.path / "quarantine" / self.object_file(digest).name

    def _put_in_order(self, digest: str) -> bool:
        """Move a damaged object out of the way, and what lies there back if it is whole: as another machine sees it."""
        path, aside = self.object_file(digest), self.quarantine_file(digest)
        moved = False
        with contextlib.suppress(OSError):  # it is gone, or the store is only read
            aside.parent.mkdir(exist_ok=True)
            os.replace(path, aside)
            moved = True
        with contextlib.suppress(OSError):  # there is none, or another machine has just put it back
            if tensorfile.file_digest(aside) == digest:
                self._place(aside, path)
                return True
            if moved:
                self.quarantined.append(aside)
        return False

    def write(self, key: dict[str, Any], artefact: Artefact, clock: Any) -> Stored:
        """Store what a stage left; `clock()` gives its seconds once its streams have been consumed."""
        try:
            with self._temporary(".safetensors") as temporary:
                digest = tensorfile.write(temporary, artefact)
                self._place(temporary, self.object_file(digest))
            self.verified.add(digest)
            record: dict[str, Any] = {"key": key, "digest": digest, "seconds": round(clock(), 4)}
            with self._temporary(".json") as temporary:
                temporary.write_text(json.dumps({**record, "check": digest_of(record)}, sort_keys=True))
                self._place(temporary, self._key_file(key))
        except OSError as error:
            raise StoreError(
                f"the store {self.path} cannot be written: {error.strerror}. Free some space, or choose another folder "
                f"with --store or LINKBENCH_STORE"
            ) from None
        return Stored(key, digest, record["seconds"])

    def forget(self, key: dict[str, Any]) -> None:
        """Let nobody find the entry of a key; its object stays until room is made."""
        self._key_file(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _temporary(self, suffix: str) -> Iterator[Path]:
        handle, name = tempfile.mkstemp(suffix=suffix, dir=self.path / "tmp")
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @staticmethod
    def _place(temporary: Path, final: Path) -> None:
        if not final.parent.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True)
            _flush_folder(final.parent.parent)
        temporary.chmod(0o644)
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # or a crash could leave the name without the bytes
        os.replace(temporary, final)
        _flush_folder(final.parent)  # a key must not outlive the object that it names


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):  # no folder can be opened on Windows
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_entry(path: Path) -> Stored | None:
    """What a file of `keys` says, or None where it is damaged."""
    try:
        record = json.loads(path.read_bytes())
        if record.pop("check") != digest_of(record) or not isinstance(record["key"], dict):
            return None
        if not _DIGEST.fullmatch(record["digest"]):  # it becomes a path
            return None
        return Stored(record["key"], record["digest"], record["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
