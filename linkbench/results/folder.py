"""The results folder of a run: written whole or not at all, read without torch."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import tempfile
from operator import itemgetter
from pathlib import Path
from typing import Any

from linkbench.api.data import Artefact
from linkbench.boundary.sandbox import missing
from linkbench.errors import InputError, TensorFileError
from linkbench.execution.records import RunOutcome, step_label
from linkbench.metrics.settings import Measure
from linkbench.plan.builder import Cell, Plan
from linkbench.registry.announced import OWN
from linkbench.registry.code_digest import code_digest, version_of
from linkbench.registry.registry import registry
from linkbench.results import ladders, transfer
from linkbench.results.conclusions import Reached, asked_of, conclude, to_json
from linkbench.results.flags import Facts, flag
from linkbench.results.ladders import step_of
from linkbench.results.results import Results
from linkbench.results.table import NUMBERS, PLACE, Row, from_csv
from linkbench.scenario.file import Scenario, every_plugin
from linkbench.store import tensorfile
from linkbench.version import __version__

FORMAT = 1
"""Version of run.json."""

STAGING = ".unfinished-"
"""Beginning of the name of a folder in which a run writes its results before they are put in their place."""

OPTIONAL = ("examples.safetensors", "changes.safetensors")
"""Files that only some runs leave."""


def collect(plan: Plan, outcome: RunOutcome, counted: Reached) -> list[Row]:
    """All rows of the cells that succeeded, in the order of the plan, with their validity flags.

    counted: of the outcome's ranks.
    """
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
            facts[cell.id] = Facts.of(
                cell.facts, specs, chance, left.get("quality"), left.get("poison_quality"), left.get("sanity")
            )
            measure = Measure.model_validate(plan.steps[cell.steps["measure"]].settings)  # the same for all
    reached = asked_of(facts, measure, counted)
    facts = {id_: known._replace(reached=reached.get(id_)) for id_, known in facts.items()}
    return flag(out, facts, measure.level)


def describe(
    scenario: Scenario, plan: Plan, outcome: RunOutcome, device: str, previous: dict[str, Any], counted: Reached
) -> dict[str, Any]:
    """The content of run.json: the scenario as resolved, versions, device, digests, seconds and what changed.

    counted: of the outcome's ranks.
    """
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
    models = {model.name: model for model in scenario.models}
    learns = {spec.label: spec.plugin().learns_from() for spec in scenario.specs["attackers"]}
    for cell in plan.cells:
        failure = outcome.failures.get(cell.steps["measure"])
        cells.append(
            {
                "id": cell.id,
                **cell.coordinates(),
                "facts": cell.facts.to_json(),
                "step": step_of(cell.facts, models.get(cell.model), models, learns.get(cell.attacker, ())),
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
        "plugins": (used := plugins(scenario)),
        "boundary": {"missing": list(missing()) if any(each["distribution"] != OWN for each in used) else []},
        "sees": sees,
        "training": {
            cell.steps["curves"]: outcome.cells[cell.id]["curves"].meta
            for cell in plan.cells
            if cell.id in outcome.cells and "curves" in cell.steps
        },
        "detection": {
            cell.steps["detect"]: outcome.cells[cell.id]["detect"].meta
            for cell in plan.cells
            if cell.id in outcome.cells and "detect" in cell.steps
        },
        "conclusions": to_json(conclude(scenario.resolved(), cells, sees, counted)),
        "ladders": ladders.to_json(
            ladders.climb(scenario.resolved(), cells, sees, counted) if scenario.specs["attackers"] else []
        ),
        "transfer": transfer.to_json(
            transfer.cross(scenario.resolved(), cells, sees, counted) if scenario.specs["attackers"] else []
        ),
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
    found: dict[tuple[str, str], dict[str, str]] = {}
    for spec in every_plugin(scenario):
        known = registry().find(spec.kind, spec.name)
        source = {"distribution": known.distribution, "version": known.version, "code": code_digest(known.module)}
        found[spec.kind, spec.name] = {"kind": spec.kind, "use": spec.name, **source}
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
    return {name: version for name in ("numpy", "torch") if (version := version_of(name)) is not None}


def check_folder(folder: Path) -> None:
    """Refuse a results folder that cannot be written, before any work starts. Raises InputError."""
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(
            f"results cannot be written to {folder}: {parent} is no writable folder. Choose one with --out"
        )


def settle(folder: Path) -> None:
    """Put what a run has written whole in its place, where the run was killed before it had done so itself."""
    for staging in sorted(folder.glob(f"{STAGING}*")):
        if (staging / "run.json").is_file():
            with contextlib.suppress(OSError):  # a folder that is only read
                put_in_place(staging, folder)


def put_in_place(staging: Path, folder: Path) -> None:
    """Move all files from the staging folder of a run into its results folder, in the place of those of earlier runs.

    run.json goes last, so that whoever is killed on the way leaves a staging folder that can still be put in place.
    """
    (folder / "ranks").mkdir(parents=True, exist_ok=True)
    new = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    for old in folder.glob("ranks/*.safetensors"):
        if old.relative_to(folder) not in new:
            old.unlink(missing_ok=True)
    for name in OPTIONAL:
        if Path(name) not in new:
            (folder / name).unlink(missing_ok=True)
    for path in sorted(new, key=lambda path: path == Path("run.json")):
        with contextlib.suppress(FileNotFoundError):  # somebody else is at it too
            os.replace(staging / path, folder / path)
    shutil.rmtree(staging, ignore_errors=True)


def read(folder: Path) -> Results:
    """Read a results folder. Raises InputError if it is none, or was written by another version of the format."""
    settle(folder)
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
    settle(folder)
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
