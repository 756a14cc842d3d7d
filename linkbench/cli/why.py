"""linkbench why: which stages of a cell were recomputed in the last run, and what changed in their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from linkbench.cli.options import examples

FLOW = (
    "genomes",
    "cohort",
    "poison",
    "train",
    "clean",
    "protect",
    "publish",
    "quality",
    "predict",
    "protected",
    "rank",
    "measure",
)
"""The stages behind a cell, in the order of the work; run.json sorts them by name."""


@examples("linkbench why 3f2a --results results/quickstart")
@click.command("why")
@click.argument("cell")
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
    help="A results folder, or a folder of results folders.",
)  # fmt: skip
def command(cell: str, results: Path) -> None:
    """Say which stages of a cell were recomputed by the last run, and which field of their key had changed.

    CELL is the id in the last column of results.csv; its first letters are enough.
    """
    from linkbench.plan.coordinates import COORDINATES

    folder, run, entry = _find(cell, results)
    place = ", ".join(f"{name}={entry[name]}" for name in COORDINATES)
    click.echo(f"cell {entry['id']} of {folder}: {place}")
    for stage, id_ in sorted(entry["steps"].items(), key=lambda item: (*FLOW, item[0]).index(item[0])):
        if id_ in run["steps"]:
            _show(stage, run["steps"][id_])
    if entry["failed"]:
        click.echo(f"  failed in {entry['failed']['stage']}: {entry['failed']['reason']}")


def _find(cell: str, results: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The only cell whose id begins like this: its folder, the record of the run, and its own. Raises InputError."""
    from linkbench.errors import InputError
    from linkbench.results import folder as files

    folders = (
        [results] if (results / "run.json").is_file() else sorted(path.parent for path in results.glob("*/run.json"))
    )
    if not folders:
        raise InputError(f"{results} holds no finished run. Run a scenario first, or name its folder with --results")
    runs = [(folder, files.read(folder).run) for folder in folders]
    found = [(folder, run, entry) for folder, run in runs for entry in run["cells"] if entry["id"].startswith(cell)]
    if not found:
        raise InputError(f"no cell starts with {cell!r} in {', '.join(map(str, folders))}; ids stand in results.csv")
    if len({(str(folder), entry["id"]) for folder, _, entry in found}) > 1:
        which = ", ".join(f"{entry['id']} in {folder}" for folder, _, entry in found[:8])
        raise InputError(f"{cell!r} is not unique: {which}. Give more letters, or --results FOLDER")
    return found[0]


def _show(stage: str, step: dict[str, Any]) -> None:
    """A line for a stage, and below it why it was computed."""
    state = f"computed in {step['seconds']:.2f} s" if step["computed"] else "taken from the store"
    click.echo(f"  {stage:<10} {state}: {step['label']}")
    for line in step.get("changed", []):
        click.echo(f"             changed since the run before: {line}")
    if step["computed"] and not step.get("changed"):
        reason = "no earlier run in this folder" if "changed" not in step else "the store did not hold it"
        click.echo(f"             {reason}")
