"""linkbench why: which stages of a cell were recomputed in the last run, and what changed in their keys."""

from __future__ import annotations

from pathlib import Path

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
    from linkbench.errors import InputError
    from linkbench.results import folder as files

    folders = (
        [results] if (results / "run.json").is_file() else sorted(path.parent for path in results.glob("*/run.json"))
    )
    if not folders:
        raise InputError(f"{results} holds no finished run. Run a scenario first, or name its folder with --results")
    found = [
        (folder, run, entry)
        for folder in folders
        for run in [files.read(folder).run]
        for entry in run["cells"]
        if entry["id"].startswith(cell)
    ]
    if not found:
        raise InputError(f"no cell starts with {cell!r} in {', '.join(map(str, folders))}; ids stand in results.csv")
    if len({(str(folder), entry["id"]) for folder, _, entry in found}) > 1:
        which = ", ".join(f"{entry['id']} in {folder}" for folder, _, entry in found[:8])
        raise InputError(f"{cell!r} is not unique: {which}. Give more letters, or --results FOLDER")
    folder, run, entry = found[0]
    place = ("cohort", "genomes", "model", "poison", "defender", "epsilon", "channel", "attacker", "seed")
    click.echo(f"cell {entry['id']} of {folder}: " + ", ".join(f"{name}={entry[name]}" for name in place))
    for stage, id_ in sorted(entry["steps"].items(), key=lambda item: (*FLOW, item[0]).index(item[0])):
        step = run["steps"].get(id_)
        if step is None:
            continue
        state = f"computed in {step['seconds']:.2f} s" if step["computed"] else "taken from the store"
        click.echo(f"  {stage:<10} {state}: {step['label']}")
        for line in step.get("changed", []):
            click.echo(f"             changed since the run before: {line}")
        if step["computed"] and not step.get("changed"):
            reason = "no earlier run in this folder" if "changed" not in step else "the store did not hold it"
            click.echo(f"             {reason}")
    if entry["failed"]:
        click.echo(f"  failed in {entry['failed']['stage']}: {entry['failed']['reason']}")
