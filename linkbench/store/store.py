"""Content-addressed artefacts, in a folder or a bucket.

    objects/ab/<sha256 of the file>.safetensors    what a stage left behind
    keys/ab/<sha256 of the key>.json               which object a stage with this key left, and the key itself
    quarantine/                                    objects whose bytes are not what they were

Each is written whole or not at all, so any number of processes and machines can share a store. An object is verified by
its digest whenever it is read. One that fails is read again, as a network disk may show an old file for a moment; then
it is set aside, where it can be looked at, and its stage runs again. Whoever misses an object looks there too, and
puts back what is whole.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.api.data import Artefact
from linkbench.errors import StoreError, TensorFileError
from linkbench.store import tensorfile
from linkbench.store.location import blobs_at

KEY_VERSION = 2
"""Raised when the meaning of a key changes, so that old entries are not mistaken for new ones."""


PAUSES = (0.0, 0.05, 0.25)
"""Seconds before each attempt to read an object: a network disk may lag behind what another machine wrote."""

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


class Key(dict[str, Any]):
    """The key of a stage, which nobody changes: its digest is asked for a dozen times and worked out once."""

    @functools.cached_property
    def digest(self) -> str:
        return hashlib.sha256(canonical(self).encode()).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value."""
    if type(value) is Key:
        return value.digest
    return hashlib.sha256(canonical(value).encode()).hexdigest()


class Store:
    """Finished stages at an address: a folder, or a URL such as `s3://bucket/prefix`.

    `Store(store.address)` opens the same store in any process. Raises StoreError where it cannot be read or written.
    """

    def __init__(self, address: str | Path) -> None:
        self.blobs = blobs_at(address)
        self.address = self.blobs.address
        self.verified: set[str] = set()
        self.quarantined: dict[str, str] = {}
        """Where each damaged object that was set aside by this process now is, by its digest."""
        self._used: dict[str, float] = {}

    def find(self, key: dict[str, Any]) -> Stored | None:
        """The entry of a finished stage, or None; damaged entries count as none."""
        name = key_name(key)
        found = read_entry(self.blobs.get(name))
        if found is None or found.key != key:
            return None
        self._touch(name)
        return found

    def _touch(self, name: str) -> None:
        """Write down that an entry is of use now, for whoever makes room."""
        now = time.monotonic()
        if now - self._used.get(name, -USED) < USED:
            return
        self._used[name] = now
        with contextlib.suppress(OSError, StoreError):  # a store that is only read
            info = self.blobs.info(name)
            if info is not None and info.modified < time.time() - USED:
                self.blobs.touch(name)

    def read(self, digest: str) -> Artefact | None:
        """The artefact, memory-mapped, or None if it is gone or damaged; a damaged one is set aside."""
        for pause in PAUSES:
            time.sleep(pause)
            if (found := self._read(digest, fresh=pause > 0)) is not None:
                return found
        return self._read(digest) if self._put_in_order(digest) else None

    def _read(self, digest: str, fresh: bool = False) -> Artefact | None:
        try:
            path, new = self.blobs.fetch(object_name(digest), fresh)
            if new or digest not in self.verified:
                if tensorfile.file_digest(path) != digest:
                    return None
                self.verified.add(digest)
            return tensorfile.read(path)
        except (OSError, TensorFileError):
            self.verified.discard(digest)
            return None

    def _put_in_order(self, digest: str) -> bool:
        """Move a damaged object out of the way, and what lies there back if it is whole: as another machine sees it."""
        name, aside = object_name(digest), quarantine_name(digest)
        moved = False
        with contextlib.suppress(OSError, StoreError):  # it is gone, or the store is only read
            self.blobs.move(name, aside)
            moved = True
        with contextlib.suppress(OSError, StoreError):  # there is none, or another machine has just put it back
            if tensorfile.file_digest(self.blobs.fetch(aside, fresh=True).path) == digest:
                self.blobs.move(aside, name)
                return True
            if moved:
                self.quarantined[digest] = f"{self.address}/{aside}"
        return False

    def write(self, key: dict[str, Any], artefact: Artefact, clock: Any) -> Stored:
        """Store what a stage left; `clock()` gives its seconds once its streams have been consumed.

        Where somebody has just finished the same stage with the same result, their entry stands, so that all who share
        a store tell the same seconds.
        """
        try:
            with self.blobs.temporary(".safetensors") as temporary:
                digest = tensorfile.write(temporary, artefact)
                seconds = round(clock(), 4)
                self.blobs.put(object_name(digest), temporary)
            self.verified.add(digest)
            standing = self.find(key)
            if standing is not None and standing.digest == digest:
                return standing
            record: dict[str, Any] = {"key": key, "digest": digest, "seconds": seconds}
            with self.blobs.temporary(".json") as temporary:
                temporary.write_text(json.dumps({**record, "check": digest_of(record)}, sort_keys=True))
                self.blobs.put(key_name(key), temporary)
        except OSError as error:
            raise self.blobs.cannot_write(error) from None
        return Stored(key, digest, seconds)

    def peek(self, digest: str) -> Artefact | None:
        """The artefact as it lies there, not verified: for what shapes tell. None if it is gone or no such file."""
        try:
            return tensorfile.read(self.blobs.fetch(object_name(digest)).path)
        except (OSError, StoreError, TensorFileError):
            return None

    def discard(self, entry: Stored) -> None:
        """Remove an entry whose object nobody else can have made, and that object."""
        self.blobs.delete(key_name(entry.key))
        self.blobs.delete(object_name(entry.digest))

    def forget(self, key: dict[str, Any]) -> None:
        """Let nobody find the entry of a key; its object stays until room is made."""
        self.blobs.delete(key_name(key))


def key_name(key: dict[str, Any]) -> str:
    """The name of the entry of a key."""
    name = digest_of(key)
    return f"keys/{name[:2]}/{name}.json"


def object_name(digest: str) -> str:
    """The name of an object."""
    return f"objects/{digest[:2]}/{digest}.safetensors"


def quarantine_name(digest: str) -> str:
    """The name that an object gets once it is damaged."""
    return f"quarantine/{digest}.safetensors"


def read_entry(content: bytes | None) -> Stored | None:
    """What a file of `keys` says, or None where it is damaged, or there is none."""
    try:
        record = json.loads(content or b"")
        if record.pop("check") != digest_of(record) or not isinstance(record["key"], dict):
            return None
        if not _DIGEST.fullmatch(record["digest"]):  # it becomes a path
            return None
        return Stored(record["key"], record["digest"], record["seconds"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
