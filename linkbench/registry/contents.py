"""Digests of files and folders by content; a large folder is read once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from linkbench.store.location import local_path

LARGE = 1 << 24
"""Bytes from which the digest of a folder is remembered; a smaller one is read each time, which takes no time."""

FRESH = 2.0
"""Seconds for which a file may be changed again without its times or size telling; such a file is not remembered."""


def stamp(path: Path | str) -> list[int]:
    """What changes when a file does: its times (of content, and of anything), size and place on the disk."""
    return _stamp(os.stat(path))


def _stamp(found: os.stat_result) -> list[int]:
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def changed(stamps: dict[str, list[int]]) -> bool:
    """Whether a file has another stamp than this. Raises OSError where one is gone."""
    return any([_stamp(os.stat(path)) != known for path, known in stamps.items()])  # noqa: C419


def _fresh(found: list[int]) -> bool:
    return max(found[:2]) > (time.time() - FRESH) * 1e9


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; a file that has not changed is read once in a run. Raises OSError."""
    found = stamp(path)
    return _read(path) if _fresh(found) else _known_file(path.absolute(), tuple(found))


@functools.lru_cache(maxsize=256)
def _known_file(path: Path, found: tuple[int, ...]) -> str:
    return _read(path)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, without: tuple[str, ...] = ()) -> str:
    """SHA-256 of the names and bytes of all files below a folder. Raises OSError.

    It may hold millions of photos: that of a large one is remembered in the folder of the store, by the name, times,
    size and place of every file, and the folder's own path, for two folders may be alike in names, sizes and times.
    without: endings of names that are left out.
    """
    found = sorted((name, stamp) for name, stamp in _files(folder, "", ()) if not name.endswith(without))
    large = sum(stamp[2] for _, stamp in found) >= LARGE and not any(_fresh(stamp) for _, stamp in found)
    kept = local_path() / "folders" / hashlib.sha256(json.dumps([str(folder.absolute()), found]).encode()).hexdigest()
    if large:
        with contextlib.suppress(OSError, ValueError):
            known = kept.read_text(encoding="ascii")
            if len(known) == 64 and set(known) <= set("0123456789abcdef"):
                return known
    content = hashlib.sha256()
    for name, _ in found:
        content.update(os.fsencode(name) + b"\0" + _read(folder / name).encode() + b"\0")
    if large:
        keep(kept, content.hexdigest())
    return content.hexdigest()


def _files(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, list[int]]]:
    """Every file, by its name from here; links are followed, but not back to a folder that holds them."""
    here = folder.stat()
    place = (here.st_dev, here.st_ino)
    if place in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/", (*above, place))
            elif entry.is_file():
                yield f"{prefix}{entry.name}", _stamp(entry.stat())


def keep(file: Path, text: str) -> None:
    """Write down what is remembered, whole or not at all; a folder that cannot be written only costs time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{file.stem[:20]}", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
            os.replace(temporary, file)
        finally:
            Path(temporary).unlink(missing_ok=True)
