"""What was found out about code, remembered between commands for as long as no file that it came from has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from linkbench.registry import contents

FORMAT = 1
"""Version of the remembered files."""

_BEGAN = time.time()
"""About when this process began."""


class Memory:
    """A file with what is known; empty where anything is not as it was.

    circumstances: what besides the modules decides what is known, as JSON; None: nothing is remembered. since: when the
    modules were read at the earliest, in seconds of the clock; one that was changed later may have been read before.
    """

    def __init__(self, file: Path, circumstances: list[Any] | None, since: float = _BEGAN) -> None:
        self.file = file
        self.circumstances = None if circumstances is None else [FORMAT, sys.version, *circumstances]
        self.modules: set[str] = set()
        self.since = since
        self.known: dict[str, Any] = self._load()
        self.news = False

    def keep(self) -> None:
        """Write down what is new; a folder that cannot be written only costs time."""
        if not self.news or self.circumstances is None:
            return
        self.news = False
        stamps: dict[str, list[int]] = {}
        for path in sorted(self.modules):
            with contextlib.suppress(OSError, ValueError):
                stamps[path] = contents.stamp(path)
        if any(max(stamp[:2]) > self.since * 1e9 for stamp in stamps.values()):
            return
        record = {"circumstances": self.circumstances, "modules": stamps, "known": self.known}
        contents.keep(self.file, json.dumps({**record, "digest": _digest(record)}))

    def _load(self) -> dict[str, Any]:
        try:
            record = json.loads(self.file.read_bytes())
            digest = record.pop("digest")
            if record["circumstances"] != self.circumstances or digest != _digest(record):
                return {}
            if any(contents.stamp(path) != stamp for path, stamp in record["modules"].items()):
                return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        self.modules |= set(record["modules"])
        known: dict[str, Any] = record["known"]
        return known


def _digest(record: Any) -> str:
    """Of a record as it is written: a damaged file says nothing."""
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def imported() -> set[str]:
    """The files of all modules that this process has imported."""
    return {path for module in list(sys.modules.values()) if isinstance(path := getattr(module, "__file__", None), str)}
