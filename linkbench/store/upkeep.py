"""Looking after a store: what is in it, what can go, what is damaged, and what shows real people."""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.errors import InputError
from linkbench.store.store import Store, read_entry

YOUNG = 3600.0
"""Seconds for which nothing is removed: a run may be at work, and reads what it has just written."""


class Item(NamedTuple):
    """One finished stage. size: bytes of its object, 0 where that is gone; used: when it last was of use, Unix time."""

    file: Path
    key: dict[str, Any]
    digest: str
    size: int
    used: float

    @property
    def stage(self) -> str:
        return str(self.key.get("stage", "?"))


def items(store: Store) -> list[Item]:
    """Every finished stage, those of longest use without use first."""
    found = []
    for file in (store.path / "keys").glob("*/*.json"):
        entry = read_entry(file)
        if entry is not None:
            path = store.object_file(entry.digest)
            size = path.stat().st_size if path.exists() else 0
            found.append(Item(file, entry.key, entry.digest, size, file.stat().st_mtime))
    return sorted(found, key=lambda item: (item.used, item.digest))


def size(found: Iterable[Item]) -> int:
    """Bytes of their objects, each counted once."""
    return sum({item.digest: item.size for item in found}.values())


def by_stage(found: list[Item]) -> dict[str, list[Item]]:
    """The items of each stage, the largest stage first."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in found:
        groups[item.stage].append(item)
    return dict(sorted(groups.items(), key=lambda group: (-size(group[1]), group[0])))


def reached(folder: Path) -> tuple[str, set[str]]:
    """The scenario behind a results folder, and the digests of all its stages. Raises InputError."""
    try:
        run = json.loads((folder / "run.json").read_bytes())
        return str(run["scenario"]["name"]), {str(step["digest"]) for step in run["steps"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder} is no results folder ({type(error).__name__}: {error}); give one that 'linkbench run' wrote"
        ) from None


def older(found: list[Item], seconds: float) -> list[Item]:
    """What nobody has used for so long."""
    return [item for item in found if item.used < time.time() - seconds]


def beyond(found: list[Item], room: int) -> list[Item]:
    """What must go, least recently used first, so that the rest takes no more than `room` bytes."""
    total = size(found)
    gone: set[str] = set()
    for item in found:
        if total <= room:
            break
        if item.digest not in gone:
            total -= item.size
            gone.add(item.digest)
    return [item for item in found if item.digest in gone]


def unreachable(found: list[Item], folders: Iterable[Path]) -> list[Item]:
    """What belongs to none of these results folders."""
    kept = {digest for folder in folders for digest in reached(folder)[1]}
    return [item for item in found if item.digest not in kept]


def of_real_people(found: list[Item], shows_real_people: Callable[[str], bool]) -> list[Item]:
    """Cohorts with photos of real people and all that was computed from them, networks and predictions included.

    shows_real_people: whether the cohort plugin of this name brings photos of real people.
    """
    tainted: set[str] = set()
    for item in found:
        cohort = item.key.get("plugins", {}).get("cohort")
        if item.stage == "cohort" and (cohort is None or shows_real_people(str(cohort.get("use")))):
            tainted.add(item.digest)
    growing = True
    while growing:
        before = len(tainted)
        tainted |= {item.digest for item in found if tainted & set(item.key.get("inputs", {}).values())}
        growing = len(tainted) > before
    return [item for item in found if item.digest in tainted]


def remove(store: Store, gone: list[Item], *, young: bool = False) -> list[Item]:
    """Remove stages and the objects that no other stage shares; what is younger than YOUNG stays unless `young`.

    Returns what was removed.
    """
    if not young:
        gone = [item for item in gone if item.used < time.time() - YOUNG]
    files = {item.file for item in gone}
    for item in gone:
        item.file.unlink(missing_ok=True)
    shared = {item.digest for item in items(store) if item.file not in files}
    for digest in {item.digest for item in gone} - shared:
        store.object_file(digest).unlink(missing_ok=True)
    return gone


def damaged(store: Store, found: list[Item]) -> list[Item]:
    """Stages whose object is gone or is not what it was; damaged objects are set aside."""
    bad = {item.digest for item in found if store.read(item.digest) is None}
    return [item for item in found if item.digest in bad]


def strays(store: Store) -> list[Path]:
    """Objects without a stage, and temporary files, older than YOUNG: what a crash left behind."""
    known = {store.object_file(item.digest) for item in items(store)}
    paths = [*(store.path / "objects").glob("*/*.safetensors"), *(store.path / "tmp").iterdir()]
    out = []
    for path in paths:
        with contextlib.suppress(OSError):
            if path not in known and path.stat().st_mtime < time.time() - YOUNG:
                out.append(path)
    return out


def quarantine(store: Store) -> list[Path]:
    """Damaged objects that were set aside."""
    return sorted((store.path / "quarantine").glob("*.safetensors"))
