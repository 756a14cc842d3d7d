"""The results folder of a run: written whole or not at all, read without torch."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from linkbench.api.data import Array, Artefact, Stream
from linkbench.errors import InputError, TensorFileError
from linkbench.execution.run import RunOutcome, step_label
from linkbench.metrics.settings import Measure
from linkbench.plan.builder import Cell, Plan
from linkbench.registry.code_digest import code_digest
from linkbench.registry.registry import registry
from linkbench.registry.spec import nested_specs
from linkbench.results.conclusions import asked_of, conclude, to_json
from linkbench.results.flags import Facts, flag
from linkbench.results.results import Results
from linkbench.results.table import NUMBERS, PLACE, Row, from_csv, to_csv
from linkbench.scenario.file import Scenario
from linkbench.store import tensorfile
from linkbench.version import __version__

FORMAT = 1
"""Version of run.json."""


def collect(plan: Plan, outcome: RunOutcome) -> list[Row]:
    """All rows of the cells that succeeded, in the order of the plan, with their validity flags."""
    out: list[Row] = []
    facts: dict[str, Facts] = {}
    measure = Measure()
    place, numbers = itemgetter(*PLACE), itemgetter(*NUMBERS)
    for cell in plan.cells:
        if cell.id in outcome.cells:
            before, after = place(cell.coordinates()), (cell.seed, "", cell.id)
            rows = outcome.cells[cell.id]["measure"].meta["rows"]
            # by position: a table may have as many rows as there are sizes, and names take three times as long
            out += [Row._make(before + numbers(row) + after) for row in rows]
            specs = {kind: spec for id_ in cell.steps.values() for kind, spec in plan.steps[id_].specs.items()}
            schema = specs["genomes"].plugin().phenotypes() if "genomes" in specs else {}
            chance = {phenotype: 1 / len(schema[phenotype]) for phenotype in schema}
            left = outcome.cells[cell.id]
            facts[cell.id] = Facts.of(cell.facts, specs, chance, left.get("quality"), left.get("poison_quality"))
            measure = Measure.model_validate(plan.steps[cell.steps["measure"]].settings)  # the same for all
    reached = asked_of({id_: outcome.cells[id_]["rank"] for id_ in facts}, measure)
    facts = {id_: known._replace(reached=reached.get(id_)) for id_, known in facts.items()}
    return flag(out, facts, measure.level)


def describe(
    scenario: Scenario, plan: Plan, outcome: RunOutcome, device: str, previous: dict[str, Any]
) -> dict[str, Any]:
    """The content of run.json: the scenario as resolved, versions, device, digests, seconds and what changed."""
    before = {_place(cell, stage): step for cell in previous.get("cells", []) for stage, step in cell["steps"].items()}
    old_steps = previous.get("steps", {})
    steps: dict[str, Any] = {}
    for id_, step in plan.steps.items():
        if id_ in outcome.records:
            entry, computed = outcome.records[id_]
            steps[id_] = {
                "stage": step.stage,
                "label": step_label(step),
                "computed": computed,
                "seconds": entry.seconds,
                "digest": entry.digest,
                "key": entry.key,
            }
    cells = []
    for cell in plan.cells:
        failure = outcome.failures.get(cell.steps["measure"])
        cells.append(
            {
                "id": cell.id,
                **cell.coordinates(),
                "facts": cell.facts.to_json(),
                "steps": cell.steps,
                "seconds_per_photo": _seconds_per_photo(cell, outcome, "protect", "quality"),
                "poison_seconds_per_photo": _seconds_per_photo(cell, outcome, "poison", "poison_quality"),
                "failed": None if failure is None else {"stage": failure.stage, "reason": failure.reason},
            }
        )
    for cell_record in cells:
        for stage, id_ in cell_record["steps"].items():
            old = old_steps.get(before.get(_place(cell_record, stage), ""))
            if id_ in steps and old is not None and "changed" not in steps[id_]:
                steps[id_]["changed"] = changes(old["key"], steps[id_]["key"])
    sees = {
        spec.label: sorted(spec.plugin().sees)
        for spec in (*scenario.specs["attackers"], *scenario.specs["identifiers"])
    }
    run = {
        "format": FORMAT,
        "scenario": scenario.resolved(),
        "versions": {"linkbench": __version__, "python": platform.python_version(), **_versions()},
        "device": device,
        "machine": platform.machine(),
        "report": code_digest("linkbench.report.page"),
        "schema": _schema(scenario),
        "plugins": plugins(scenario),
        "sees": sees,
        "training": {
            cell.steps["curves"]: outcome.cells[cell.id]["curves"].meta
            for cell in plan.cells
            if cell.id in outcome.cells and "curves" in cell.steps
        },
        "conclusions": to_json(conclude(scenario.resolved(), cells, sees, lambda cell: outcome.cells[cell]["rank"])),
        "steps": steps,
        "cells": cells,
    }
    # as it will be read back, so that a page rebuilt from the file is the same to the byte
    ordered: dict[str, Any] = json.loads(json.dumps(run, sort_keys=True))
    return ordered


def _seconds_per_photo(cell: Cell, outcome: RunOutcome, stage: str, measured: str) -> float | None:
    """What a defender or poison took for one photo, on the machine that ran it; None where nothing was changed."""
    quality = outcome.cells.get(cell.id, {}).get(measured)
    if quality is None or cell.steps[stage] not in outcome.records:
        return None
    return outcome.records[cell.steps[stage]].entry.seconds / max(len(quality.array("photo")), 1)


def plugins(scenario: Scenario) -> list[dict[str, str]]:
    """Every plugin of the scenario, also inside another: where it comes from, its version, its code's digest."""
    waiting = [spec for specs in scenario.specs.values() for spec in specs]
    waiting += [spec for model in scenario.models for spec in (model.architecture, model.recipe)]
    found: dict[tuple[str, str], dict[str, str]] = {}
    while waiting:
        spec = waiting.pop()
        known = registry().find(spec.kind, spec.name)
        source = {"distribution": known.distribution, "version": known.version, "code": code_digest(known.module)}
        found[spec.kind, spec.name] = {"kind": spec.kind, "use": spec.name, **source}
        waiting += [inner for _, inner in nested_specs(spec)]
    return [found[place] for place in sorted(found)]


def _schema(scenario: Scenario) -> list[list[object]]:
    """The phenotypes that all genomes of the scenario share; empty where they differ."""
    schemas = [spec.plugin().phenotypes() for spec in scenario.specs["genomes"]]
    return schemas[0].to_json() if schemas and all(schema == schemas[0] for schema in schemas) else []


def _place(cell: dict[str, Any], stage: str) -> str:
    return f"{cell['id']}/{stage}"


def changes(old: Any, new: Any, path: str = "") -> list[str]:
    """The fields in which two keys differ, as `settings.steps: 20 -> 40`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in changes(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path}: {_brief(old)} -> {_brief(new)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if len(text) <= 40 else f"{text[:12]}..."


def _versions() -> dict[str, str]:
    import importlib.metadata

    out = {}
    for name in ("numpy", "torch"):
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def check_folder(folder: Path) -> None:
    """Refuse a results folder that cannot be written, before any work starts. Raises InputError."""
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(
            f"results cannot be written to {folder}: {parent} is no writable folder. Choose one with --out"
        )


def write(folder: Path, results: Results, outcome: RunOutcome, report: Callable[[], str]) -> None:
    """Write ranks/, photo files, results.csv, report.html and run.json, each whole; run.json last, as its seal.

    `report` makes the page once the other files stand. Where an earlier run left the same, only run.json is renewed.
    """
    standing = _standing_table(folder, results.run)
    if standing:
        write_text(folder / "run.json", _run_text({**results.run, "table": standing}))
        return
    (folder / "run.json").unlink(missing_ok=True)
    ranks = folder / "ranks"
    ranks.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for cell, stages in outcome.cells.items():
        wanted.add(f"{cell}.safetensors")
        with replacing(ranks / f"{cell}.safetensors") as temporary:
            tensorfile.write(temporary, stages["rank"])
    _write_examples(folder / "examples.safetensors", results.rows, outcome)
    _write_changes(folder / "changes.safetensors", results.run, outcome)
    for stale in set(os.listdir(ranks)) - wanted:
        if stale.endswith(".safetensors"):
            (ranks / stale).unlink()
    table = to_csv(results.rows)
    write_text(folder / "results.csv", table)
    write_text(folder / "report.html", report())
    write_text(folder / "run.json", _run_text({**results.run, "table": hashlib.sha256(table.encode()).hexdigest()}))


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
    path.unlink(missing_ok=True)
    if chosen:
        arrays: dict[str, Array | Stream] = {
            name: np.stack([quality.array(f"example_{name}") for quality in chosen.values()])
            for name in ("before", "after")
        }
        with replacing(path) as temporary:
            tensorfile.write(temporary, Artefact(arrays, {"labels": list(chosen)}))


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
    path.unlink(missing_ok=True)
    if arrays:
        with replacing(path) as temporary:
            tensorfile.write(temporary, Artefact(arrays, {}))


def read(folder: Path) -> Results:
    """Read a results folder. Raises InputError if it is none, or was written by another version of the format."""
    try:
        run = json.loads((folder / "run.json").read_text())
        table = (folder / "results.csv").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, FileNotFoundError) else error
        raise InputError(
            f"{folder} holds no finished run ({why}). Run 'linkbench run SCENARIO.yaml --out {folder}' first"
        ) from None
    if run.get("format") != FORMAT:
        raise InputError(
            f"{folder}/run.json has format {run.get('format')}, this linkbench reads {FORMAT}; run it again"
        )
    try:
        return Results(from_csv(table), run, functools.partial(read_ranks, folder))
    except ValueError as error:
        raise InputError(f"{folder}/results.csv is no table of results: {error}. Run the scenario again") from None


def read_ranks(folder: Path, cell: str) -> Artefact:
    """The ranks of one cell. Raises InputError if they are missing or damaged."""
    if not cell.isalnum():  # ids name files; anything else is not ours
        raise InputError(f"{cell!r} is no id of a cell; it must consist of letters and digits")
    path = folder / "ranks" / f"{cell}.safetensors"
    try:
        return tensorfile.read(path)
    except (OSError, TensorFileError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read: {why}. Run the scenario again") from None


def previous_run(folder: Path) -> dict[str, Any]:
    """What an earlier run in the same folder recorded; empty where there was none."""
    try:
        run: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return run if run.get("format") == FORMAT else {}


class replacing:
    """A temporary path beside the final one, moved over it when all went well."""

    def __init__(self, final: Path) -> None:
        self.final = final

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(prefix=".", dir=self.final.parent)
        os.close(handle)
        self.temporary = Path(name)
        return self.temporary

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self.temporary.chmod(0o644)
            os.replace(self.temporary, self.final)
        else:
            self.temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
