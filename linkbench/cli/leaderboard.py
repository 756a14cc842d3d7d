"""linkbench leaderboard: entries from runs, checked by recomputation, and the pages built from them."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples

board_option = click.option(
    "--board", type=click.Path(path_type=Path, file_okay=False), default=Path("leaderboard"), show_default=True,
    help="Folder of the leaderboard.",
)  # fmt: skip


@examples(
    "linkbench leaderboard add results/leaderboard",
    "linkbench leaderboard build",
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json",
)
@click.group("leaderboard")
def command() -> None:
    """Rank defenders and attackers of several runs on one protocol."""


@examples(
    "linkbench leaderboard add results/leaderboard",
    "linkbench leaderboard add results/mine --name my-defence --replace",
)
@command.command("add")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the entry.  [default: the scenario's]")
@click.option("--replace", is_flag=True, help="Take the place of an entry of this name.")
@click.option("--without-photos", is_flag=True, help="Keep nothing of single photos; the entry stays a claim.")
@board_option
def add(folder: Path, name: str | None, replace: bool, without_photos: bool, board: Path) -> None:
    """Make an entry from a finished run.

    FOLDER is what 'linkbench run' wrote. The entry joins the table whose protocol it follows: the same data, split and
    metrics, and at least the same models and attackers. Without such a table it opens a new one.
    """
    from linkbench.errors import InputError
    from linkbench.leaderboard import board as boards
    from linkbench.leaderboard import collect, entry

    listed = [one.entry for one in boards.load(board)]
    made = collect.make(folder, listed, name=name, keep_photos=not without_photos)
    path = boards.entries_folder(board) / f"{made.name}.json"
    if path.exists() and not replace:
        raise InputError(f"{path} exists. Choose another --name, or give --replace")
    entry.rerun_path(path).unlink(missing_ok=True)
    entry.write(path, made)
    mates = [one.name for one in listed if one.protocol_digest == made.protocol_digest and one.name != made.name]
    where = f"joins {', '.join(mates)}" if mates else "opens a new table"
    click.echo(f"{path}: {len(made.cells)} cells, {path.stat().st_size / 1024:.0f} KiB")
    click.echo(f"protocol {made.protocol_digest[:12]}: {where}")


@examples(
    "linkbench leaderboard build",
    "linkbench leaderboard build --out /tmp/leaderboard",
)
@command.command("build")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the built files.  [default: the board]"
)
@board_option
def build(out: Path | None, board: Path) -> None:
    """Write README.md, leaderboard.csv and index.html from all entries.

    The same entries give the same files; nothing else is read.
    """
    from linkbench.leaderboard import build as builder

    for path in builder.build(board, out or board):
        click.echo(path)


@examples(
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json",
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json --rerun --tolerance 0.01",
)
@command.command("verify")
@click.argument("entry_file", metavar="ENTRY", type=click.Path(path_type=Path))
@click.option("--rerun", is_flag=True, help="Run the entry's scenario again and compare; a success is recorded.")
@click.option("--tolerance", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="How far a number of the rerun may be off.")  # fmt: skip
@click.option(
    "--store", metavar="FOLDER|URL",
    help="Where a rerun keeps finished stages.  [default: a new folder, removed afterwards]",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]", help="Where networks run.")
def verify(entry_file: Path, rerun: bool, tolerance: float, store: str | None, device: str) -> int:
    """Recompute every number of an entry from what it keeps of every photo.

    Budgets are compared with measured changes, cells with the scenario, digests with the content. With --rerun the
    scenario is run again, from nothing, and its numbers are compared with the entry's.
    """
    from linkbench.leaderboard import entry as entries
    from linkbench.leaderboard.verify import check
    from linkbench.results.cells import cleaned

    entry = entries.read(entry_file)
    found = check(entry)
    for problem in found.problems:
        click.echo(cleaned(f"wrong: {problem}"), err=True)
    if found.problems:
        click.echo(f"{entry_file}: {len(found.problems)} problems; this entry does not hold together.", err=True)
        return 1
    if entry.ranks is None:
        click.echo(f"{entry_file}: consistent, but it keeps nothing of single photos: its numbers remain claims.")
    else:
        click.echo(f"{entry_file}: {found.recomputed} numbers of {len(entry.cells)} cells follow from its photos.")
    return _again(entry_file, tolerance, store, device) if rerun else 0


def _again(entry_file: Path, tolerance: float, store: str | None, device: str) -> int:
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.watch import watcher
    from linkbench.leaderboard import entry as entries
    from linkbench.leaderboard.rerun import compare, run_again
    from linkbench.results.cells import cleaned

    check_device(device)
    check_torch()
    entry = entries.read(entry_file)
    record, wrong = compare(entry, run_again(entry, store, device, watcher), tolerance)
    for difference in wrong[:20]:
        click.echo(cleaned(f"differs: {difference}"), err=True)
    if wrong:
        more = f", of which {len(wrong) - 20} are not shown" if len(wrong) > 20 else ""
        click.echo(f"{len(wrong)} differences{more}; the largest is {record.largest:.6f}.", err=True)
        return 1
    path = entries.rerun_path(entry_file)
    entries.write(path, record)
    click.echo(
        f"run again: {record.identical} of {record.cells} cells have the same rank for every photo; "
        f"the largest difference of a number is {record.largest:.6f}. Recorded in {path}"
    )
    return 0
