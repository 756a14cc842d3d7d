"""Marks of runs at work: who shares a store sees which stages others are computing, and need not compute them too.

    marks/<sha256 of the key>.json    who is at work on the stage with this key

A mark locks nothing. It is renewed while its run lives and counts for nothing once it is older than EXPIRY by the clock
of the store, or its process on this machine has ended; whoever overlooks one does work twice, with the same result.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import threading
from typing import Any

from linkbench.errors import StoreError
from linkbench.store.blobs import Blobs
from linkbench.store.store import digest_of

EXPIRY = 60.0
"""Seconds after which a mark that was not renewed counts for nothing."""

RENEWAL = 15.0
"""Seconds between renewals."""


class Marks:
    """The marks of one run. Closing it takes them away; a store that cannot be written has none."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.me = {"host": platform.node(), "pid": os.getpid(), "run": secrets.token_hex(8)}
        self.mine: set[str] = set()
        self.ended = threading.Event()
        self.renewing: threading.Thread | None = None

    def take(self, key: dict[str, Any]) -> str:
        """Mark a stage as this run's: "" if it is, else the host and process of the run that is at work on it."""
        name = _name(key)
        with contextlib.suppress(OSError, StoreError):
            if name not in self.mine and not self._leave(name):
                owner = self._owner(name)
                if owner:
                    return owner
                self.blobs.delete(name)
                if not self._leave(name) and (owner := self._owner(name)):
                    return owner  # another run was as quick
        return ""

    def _leave(self, name: str) -> bool:
        if not self.blobs.create(name, json.dumps(self.me).encode()):
            return False
        self.mine.add(name)
        if self.renewing is None:
            self.renewing = threading.Thread(target=self._renew, daemon=True)
            self.renewing.start()
        return True

    def _owner(self, name: str) -> str:
        """Who is at work, as far as one can know; "" if nobody is."""
        info, content = self.blobs.info(name), self.blobs.get(name)
        if info is None or content is None or info.modified < self.blobs.now() - EXPIRY:
            return ""
        try:
            owner = json.loads(content)
            host, pid = str(owner["host"]), int(owner["pid"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
        if host == self.me["host"] and (pid == self.me["pid"] or not _alive(pid)):
            return ""  # this very process made it before it took a new start, or it was killed
        return f"{host}, process {pid}"

    def drop(self, key: dict[str, Any]) -> None:
        """The stage is done, or will not be."""
        name = _name(key)
        if name in self.mine:
            self.mine.discard(name)
            with contextlib.suppress(OSError, StoreError):
                self.blobs.delete(name)

    def close(self) -> None:
        """Take all marks away."""
        self.ended.set()
        for name in list(self.mine):
            self.mine.discard(name)
            with contextlib.suppress(OSError, StoreError):
                self.blobs.delete(name)

    def _renew(self) -> None:
        while not self.ended.wait(RENEWAL):
            for name in list(self.mine):
                with contextlib.suppress(OSError, StoreError):
                    self.blobs.touch(name)


def _name(key: dict[str, Any]) -> str:
    return f"marks/{digest_of(key)}.json"


def _alive(pid: int) -> bool:
    """Whether a process of this machine exists; where the system does not say, it does."""
    if os.name != "posix" or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
