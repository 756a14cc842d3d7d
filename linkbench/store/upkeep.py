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
        with contextlib.suppress(OSError):  # somebody else has just removed it
            if entry is not None:
                used = file.stat().st_mtime
                found.append(Item(file, entry.key, entry.digest, _size(store.object_file(entry.digest)), used))
    return sorted(found, key=lambda item: (item.used, item.digest))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


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
    last: dict[str, Item] = {}
    for item in reversed(found):  # stages may share an object: its last use counts
        last.setdefault(item.digest, item)
    gone: set[str] = set()
    for item in reversed(last.values()):
        if total <= room:
            break
        total -= item.size
        gone.add(item.digest)
    return [item for item in found if item.digest in gone]


def unreachable(found: list[Item], folders: Iterable[Path]) -> list[Item]:
    """What belongs to none of these results folders."""
    kept = {digest for folder in folders for digest in reached(folder)[1]}
    return [item for item in found if item.digest not in kept]


def of_real_people(found: list[Item], shows_real_people: Callable[[str], bool]) -> list[Item]:
    """Cohorts with photos of real people and all that was computed from them, networks and predictions included.

    What was computed from something that the store no longer holds goes too: nobody knows whom it shows.
    shows_real_people: whether the cohort plugin of this name brings photos of real people.
    """
    known = {item.digest for item in found}
    tainted: set[str] = set()
    for item in found:
        cohort = item.key.get("plugins", {}).get("cohort")
        if item.stage == "cohort":
            shown = cohort is None or shows_real_people(str(cohort.get("use")))
        else:
            shown = not _inputs(item) <= known
        if shown:
            tainted.add(item.digest)
    growing = True
    while growing:
        before = len(tainted)
        tainted |= {item.digest for item in found if tainted & _inputs(item)}
        growing = len(tainted) > before
    return [item for item in found if item.digest in tainted]


def _inputs(item: Item) -> set[str]:
    return set(item.key.get("inputs", {}).values())


def settled(found: list[Item]) -> list[Item]:
    """What may be removed while runs are at work: nothing younger than YOUNG."""
    return [item for item in found if item.used < time.time() - YOUNG]


def remove(store: Store, gone: list[Item], *, young: bool = False) -> None:
    """Remove stages, and the objects that no other stage shares; an object younger than YOUNG only with `young`.

    Another run may have left the same object again and be about to name it.
    """
    files = {item.file for item in gone}
    for item in gone:
        item.file.unlink(missing_ok=True)
    shared = {item.digest for item in items(store) if item.file not in files}
    for digest in {item.digest for item in gone} - shared:
        path = store.object_file(digest)
        with contextlib.suppress(FileNotFoundError):
            if young or path.stat().st_mtime < time.time() - YOUNG:
                path.unlink()


def damaged(store: Store, found: list[Item]) -> list[Item]:
    """Stages whose object is gone or is not what it was; damaged objects are set aside."""
    bad = {item.digest for item in found if store.read(item.digest) is None}
    return [item for item in found if item.digest in bad]


def strays(store: Store, *, young: bool = False) -> list[Path]:
    """Files that belong to no stage: objects, and keys that cannot be read; older than YOUNG, or all with `young`."""
    found = items(store)
    known = {item.file for item in found} | {store.object_file(item.digest) for item in found}
    out = []
    for path in [*(store.path / "objects").glob("*/*"), *(store.path / "keys").glob("*/*")]:
        with contextlib.suppress(OSError):
            if path not in known and path.is_file() and (young or path.stat().st_mtime < time.time() - YOUNG):
                out.append(path)
    return sorted(out)


def quarantine(store: Store) -> list[Path]:
    """Damaged objects that were set aside."""
    return sorted((store.path / "quarantine").glob("*.safetensors"))
