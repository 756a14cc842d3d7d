"""Writing a results folder, so that nobody ever finds half a run in it, or loses a whole one to a run that failed.

All files are written into a folder of their own in the results folder and moved to their places at the end. Whole
results are only ever replaced by whole results: what a run leaves some of whose cells failed goes into `incomplete`
where the folder holds a run without failures.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from linkbench.api.data import Array, Artefact, Stream
from linkbench.execution.records import RunOutcome
from linkbench.results.folder import OPTIONAL, STAGING, previous_run, put_in_place, write_text
from linkbench.results.results import Results
from linkbench.results.table import Row, to_csv
from linkbench.store import tensorfile

INCOMPLETE = "incomplete"
"""Folder in a results folder for a run that failed in part, where the folder holds one that did not."""

FILES = ("results.csv", "report.html", "run.json", *OPTIONAL)

STALE = 3600.0
"""Seconds after which a folder that a run was writing into belongs to nobody: the run was killed."""


def place(folder: Path, run: dict[str, Any]) -> Path:
    """Where the results of a run belong: the folder itself, or `incomplete` in it."""
    return folder / INCOMPLETE if _failed(run) and _is_whole(folder) else folder


def _failed(run: dict[str, Any]) -> bool:
    return any(cell["failed"] is not None for cell in run["cells"])


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds a finished run without failures."""
    before = previous_run(folder)
    try:
        return bool(before) and not _failed(before) and (folder / "results.csv").is_file()
    except (KeyError, TypeError):
        return False


def write(folder: Path, results: Results, outcome: RunOutcome, report: Callable[[Path], str]) -> None:
    """Write ranks/, photo files, results.csv, report.html and run.json, all of them or none, where they belong.

    `report` makes the page from the folder in which the other files stand. Where an earlier run left the same, only
    run.json is renewed.
    """
    final = place(folder, results.run)
    standing = _standing_table(final, results.run)
    if standing:
        write_text(final / "run.json", _run_text({**results.run, "table": standing}))
    else:
        final.mkdir(parents=True, exist_ok=True)
        _sweep(final)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=final))
        try:
            _write_files(staging, results, outcome, report)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        put_in_place(staging, final)
    if not _failed(results.run):
        _remove_incomplete(folder / INCOMPLETE)


def _write_files(folder: Path, results: Results, outcome: RunOutcome, report: Callable[[Path], str]) -> None:
    (folder / "ranks").mkdir()
    for cell, stages in outcome.cells.items():
        tensorfile.write(folder / "ranks" / f"{cell}.safetensors", stages["rank"])
    _write_examples(folder / OPTIONAL[0], results.rows, outcome)
    _write_changes(folder / OPTIONAL[1], results.run, outcome)
    table = to_csv(results.rows)
    write_text(folder / "results.csv", table)
    write_text(folder / "report.html", report(folder))
    write_text(folder / "run.json", _run_text({**results.run, "table": hashlib.sha256(table.encode()).hexdigest()}))


def _sweep(folder: Path) -> None:
    """Remove what killed runs were writing."""
    for staging in folder.glob(f"{STAGING}*"):
        with contextlib.suppress(OSError):
            if staging.stat().st_mtime < time.time() - STALE:
                shutil.rmtree(staging)


def _remove_incomplete(folder: Path) -> None:
    """Results of a run that failed in part go once there are whole ones; files of anybody else stay."""
    for path in [*folder.glob("ranks/*.safetensors"), *(folder / name for name in FILES)]:
        path.unlink(missing_ok=True)
    for empty in (folder / "ranks", folder):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _run_text(run: dict[str, Any]) -> str:
    return json.dumps(run, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _standing_table(folder: Path, now: dict[str, Any]) -> str:
    """The digest of results.csv where a finished run with the same stages, cells and report code left it; else empty.

    The rows follow from the stages and the code alone, so they are not written out again to be compared.
    """
    before = previous_run(folder)
    if not before or any(before.get(part) != now[part] for part in set(now) - {"steps"}):
        return ""
    if {id_: step["digest"] for id_, step in before["steps"].items()} != {
        id_: step["digest"] for id_, step in now["steps"].items()
    }:
        return ""
    ranks = (folder / "ranks" / f"{cell['id']}.safetensors" for cell in now["cells"] if cell["failed"] is None)
    table = folder / "results.csv"
    if not all(map(Path.is_file, (folder / "report.html", table, *ranks))):
        return ""
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    return digest if digest == before.get("table") else ""


def _write_examples(path: Path, rows: list[Row], outcome: RunOutcome) -> None:
    """A few photos before and after for each poison, defender and budget, where the cohort shows nobody real."""
    chosen: dict[str, Artefact] = {}
    for row in rows:
        budget = "" if row.epsilon is None else f" at {row.epsilon:.4g}"
        left = outcome.cells[row.cell]
        for name, stage in ((f"poison {row.poison}", "poison_quality"), (f"{row.defender}{budget}", "quality")):
            if stage in left and "example_after" in left[stage].arrays:
                chosen.setdefault(name, left[stage])
    if chosen:
        arrays: dict[str, Array | Stream] = {
            name: np.stack([quality.array(f"example_{name}") for quality in chosen.values()])
            for name in ("before", "after")
        }
        tensorfile.write(path, Artefact(arrays, {"labels": list(chosen)}))


def _write_changes(path: Path, run: dict[str, Any], outcome: RunOutcome) -> None:
    """What was changed, photo by photo, by every step `quality` and `poison_quality`.

    Arrays STEP.ssim, .linf and .moved, float64 [n], and STEP.identity, int64 [n], who is in the photo.
    """
    steps = {cell["id"]: cell["steps"] for cell in run["cells"]}
    arrays: dict[str, Array | Stream] = {}
    for cell, stages in outcome.cells.items():
        for stage in {"quality", "poison_quality"} & set(stages):
            for name in ("ssim", "linf", "moved", "identity"):
                arrays[f"{steps[cell][stage]}.{name}"] = np.asarray(stages[stage].array(name))
    if arrays:
        tensorfile.write(path, Artefact(arrays, {}))
