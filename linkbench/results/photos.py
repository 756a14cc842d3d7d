"""Photos of a run as files with their names, and what the ranks say photo by photo: for the owner of the photos alone.

Neither is part of a results folder, which may be passed on: names of photo files stay in the store.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.data import Array, Artefact, Cohort
from linkbench.errors import InputError
from linkbench.metrics.ranking import Ranks, success_curves
from linkbench.plan.coordinates import COORDINATES
from linkbench.results.folder import replacing

Read = Callable[[str], Artefact | None]
"""An artefact of the store by its digest; None where it is gone."""

LONGEST = 100
"""Letters of a name taken over into a file name."""

SIZE = 100
"""The pile in which success is told, or all genomes where they are fewer."""


class Saved(NamedTuple):
    """What was written: the photos, and the folders that they lie in."""

    photos: int
    folders: int


class Place(NamedTuple):
    """One photo of one cell: its name, and how its true genome fared. rank: expected, 1 is best; success: of being
    named first among `size` genomes."""

    name: str
    identity: int
    rank: float
    success: float


def safe_name(name: str) -> str:
    """A name as part of a path: letters, digits, dot and hyphen stay; never empty, hidden or a step upwards."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:LONGEST] or "photo"


def save_photos(run: dict[str, Any], read: Read, folder: Path) -> Saved:
    """Write the published photos of a run as PNG with their names: a folder for each defender, channel and so on.

    index.csv says which file is which photo of what. A float photo is rounded to eight bits. run: as in run.json.
    Raises InputError where there are no photos, the store has lost them, or the folder is not new or not writable.
    """
    cells: dict[str, dict[str, Any]] = {}
    for cell in run["cells"]:
        if cell["failed"] is None and "publish" in cell["steps"]:
            cells.setdefault(cell["steps"]["publish"], cell)
    if not cells:
        raise InputError("this run protects and publishes no photos, so there are none to save")
    axes = [name for name in COORDINATES if len({str(cell[name]) for cell in cells.values()}) > 1]
    check_new(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _save(run, read, folder, cells, axes)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from None


def check_new(folder: Path) -> None:
    """Refuse a folder that holds something, before any work starts. Raises InputError."""
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; photos are saved into a new folder")


def _save(run: dict[str, Any], read: Read, folder: Path, cells: dict[str, dict[str, Any]], axes: list[str]) -> Saved:
    from PIL import Image

    columns = [axis for axis in COORDINATES if axis != "attacker"]
    rows, taken = [], set[str]()
    for cell in cells.values():
        within = _unused(safe_name("_".join(str(cell[axis]) for axis in axes if cell[axis] is not None)), taken)
        (folder / within).mkdir()
        published, people = (_artefact(run, read, cell, stage) for stage in ("publish", "cohort"))
        names = Cohort.of(people).ids
        photos, used = published.array("photos"), set[str]()
        for place, row in enumerate(published.array("photo").tolist()):
            name = names[row].decode("utf-8", "replace")
            file = _unused(safe_name(re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)), used)
            Image.fromarray(_pixels(photos[place])).save(folder / within / f"{file}.png", "PNG")
            rows.append([f"{within}/{file}.png", name, *(cell[axis] for axis in columns)])
    with replacing(folder / "index.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as table:
        written = csv.writer(table, lineterminator="\n")
        written.writerow(["file", "photo", *columns])
        written.writerows(rows)
    return Saved(len(rows), len(taken))


def _unused(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken already; file systems may not tell large from small letters."""
    out, number = name, 1
    while out.lower() in taken:
        number += 1
        out = f"{name}-{number}"
    taken.add(out.lower())
    return out


def _pixels(photo: Array) -> Array:
    """uint8 [h, w, 3] of uint8 or float [3, h, w]."""
    eight = photo if photo.dtype == np.uint8 else np.rint(np.clip(photo, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.asarray(eight).transpose(1, 2, 0))


def _artefact(run: dict[str, Any], read: Read, cell: dict[str, Any], stage: str) -> Artefact:
    digest = run["steps"][cell["steps"][stage]]["digest"]
    found = read(digest)
    if found is None:
        raise InputError(
            f"the store does not hold the stage {stage!r} of this run any more; run the scenario again, or name the "
            f"store that it used with --store"
        )
    return found


def places(
    run: dict[str, Any], ranks: Callable[[str], Artefact], read: Read
) -> Iterator[tuple[dict[str, Any], list[Place]]]:
    """For every cell that finished, its record and its photos by name, the best found first. Raises InputError."""
    for cell in run["cells"]:
        if cell["failed"] is not None:
            continue
        names = Cohort.of(_artefact(run, read, cell, "cohort")).ids
        rank = ranks(cell["id"])
        found = Ranks(np.asarray(rank.array("better")), np.asarray(rank.array("tied")))
        people = int(rank.meta["population"])
        success = success_curves(found, people, [1], [min(SIZE, people)])[0, 0]
        rows = [
            Place(names[row].decode("utf-8", "replace"), int(who), float(at), float(chance))
            for row, who, at, chance in zip(
                rank.array("photo").tolist(), rank.array("identity").tolist(), found.expected, success, strict=True
            )
        ]
        yield cell, sorted(rows, key=lambda place: (place.rank, place.name))
