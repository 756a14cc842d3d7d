"""Looking after a store: what is in it, what can go, what is damaged, and what shows real people."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.errors import InputError
from linkbench.store.checkpoints import Checkpoint, checkpoints
from linkbench.store.store import Store, Stored, object_name, read_entry

YOUNG = 3600.0
"""Seconds for which nothing is removed: a run may be at work, and reads what it has just written."""


class Item(NamedTuple):
    """One finished stage. name: of its entry; size: bytes of its object, 0 where that is gone; used: when it last was
    of use, Unix time."""

    name: str
    key: dict[str, Any]
    digest: str
    size: int
    used: float

    @property
    def stage(self) -> str:
        return str(self.key.get("stage", "?"))


def items(store: Store) -> list[Item]:
    """Every finished stage, those of longest use without use first."""
    times = {info.name: info.modified for info in store.blobs.listing("keys")}
    sizes = {info.name: info.size for info in store.blobs.listing("objects")}
    found = []
    for name, content in store.blobs.get_many(list(times)).items():
        entry = read_entry(content)
        if entry is not None:
            size = sizes.get(object_name(entry.digest), 0)
            found.append(Item(name, entry.key, entry.digest, size, times[name]))
    return sorted(found, key=lambda item: (item.used, item.digest))


def recent(store: Store, most: int) -> list[Stored]:
    """Entries of the stages that were last of use, the latest first."""
    names = sorted(store.blobs.listing("keys"), key=lambda info: -info.modified)[:most]
    contents = store.blobs.get_many([info.name for info in names])
    return [entry for content in contents.values() if (entry := read_entry(content)) is not None]


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
    names = {item.name for item in gone}
    for name in names:
        store.blobs.delete(name)
    shared = {item.digest for item in items(store) if item.name not in names}
    for digest in {item.digest for item in gone} - shared:
        info = store.blobs.info(object_name(digest))
        if info is not None and (young or info.modified < time.time() - YOUNG):
            store.blobs.delete(info.name)


def damaged(store: Store, found: list[Item]) -> list[Item]:
    """Stages whose object is gone or is not what it was; damaged objects are set aside."""
    bad = {item.digest for item in found if store.read(item.digest) is None}
    return [item for item in found if item.digest in bad]


def strays(store: Store, *, young: bool = False) -> list[str]:
    """Names of objects of no stage, of unreadable keys, and of marks: older than YOUNG, or all with `young`."""
    found = items(store)
    known = {item.name for item in found} | {object_name(item.digest) for item in found}
    return [
        info.name
        for folder in ("objects", "keys", "marks")
        for info in store.blobs.listing(folder)
        if info.name not in known and (young or info.modified < time.time() - YOUNG)
    ]


def abandoned(store: Store, found: list[Item], seconds: float) -> list[Checkpoint]:
    """Checkpoints that nobody has written for so long, and for YOUNG; those of finished stages in any case."""
    done = {Path(item.name).stem for item in found}
    now = time.time()
    return [
        one
        for one in checkpoints(store.blobs)
        if one.info.modified < now - YOUNG and (one.stage in done or one.info.modified < now - seconds)
    ]


def quarantine(store: Store) -> list[str]:
    """Names of damaged objects that were set aside."""
    return [info.name for info in store.blobs.listing("quarantine")]
