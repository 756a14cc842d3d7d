"""linkbench leaderboard: entries from runs, checked by recomputation, and the pages built from them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.leaderboard_try import board_option, try_defence
from linkbench.cli.options import examples, store_address

if TYPE_CHECKING:
    from linkbench.leaderboard.entry import Entry


@examples(
    "linkbench leaderboard add results/leaderboard",
    "linkbench leaderboard build",
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json",
)
@click.group("leaderboard")
def command() -> None:
    """Rank defenders and attackers of several runs on one protocol."""


command.add_command(try_defence)


@examples("linkbench leaderboard protocols", "linkbench leaderboard protocols rendered-v1 > mine.yaml")
@command.command("protocols")
@click.argument("name", required=False)
def protocols(name: str | None) -> None:
    """List the protocols that come with the toolkit, or print the scenario of one.

    The scenario has no defence but the controls: add yours, run it, and add the results to a board.
    """
    from linkbench.leaderboard import named

    if name is not None:
        click.echo(named.scenario_text(name), nl=False)
        return
    for known in named.names():
        first = named.scenario_text(known).splitlines()[0].removeprefix("# ")
        click.echo(f"{known:<12}  {first}")


@examples(
    "linkbench leaderboard add results/leaderboard",
    "linkbench leaderboard add results/mine --name my-defence --replace",
    'linkbench leaderboard add results/mine --author "A. Author" --paper https://doi.org/10.1000/1',
)
@command.command("add")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the entry.  [default: the scenario's]")
@click.option("--replace", is_flag=True, help="Take the place of an entry of this name.")
@click.option("--author", "authors", multiple=True, metavar="NAME", help="Who stands behind it. May be repeated.")
@click.option("--paper", default="", metavar="URL", help="Where the defence is described.")
@click.option("--code", default="", metavar="URL", help="Where its code is.")
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="Of the entry.  [default: today]")
@click.option(
    "--with-photos/--without-photos", "keep", default=None,
    help="Whether what is known of single photos is kept, so that numbers can be recomputed; without it the entry "
    "stays a claim.  [default: only where the photos show nobody real]",
)  # fmt: skip
@store_address
@board_option
def add(
    folder: Path,
    name: str | None,
    replace: bool,
    authors: tuple[str, ...],
    paper: str,
    code: str,
    date: datetime | None,
    keep: bool | None,
    store: str | None,
    board: Path,
) -> None:
    """Make an entry from a finished run.

    FOLDER is what 'linkbench run' wrote. The entry joins the table whose protocol it follows: the same people, data,
    split and metrics, at least the same models and attackers, and the same code of all these. Without such a table it
    opens a new one. It owns the rows that nobody played before; it is verified before anything is written.
    """
    from linkbench.leaderboard import board as boards
    from linkbench.leaderboard import collect
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    listed = [one.entry for one in boards.load(board)]
    about = collect.About(authors, paper, code, (date or datetime.now()).strftime("%Y-%m-%d"))
    kept = Store(store or default_address())
    made = collect.make(folder, listed, name=name, about=about, keep_photos=keep, store=kept)
    path = boards.entries_folder(board) / f"{made.name}.json"
    _take_in(board, path, made, replace=replace)
    mates = [one for one in listed if one.protocol_digest == made.protocol_digest and one.name != made.name]
    where = f"joins {', '.join(one.name for one in mates)}" if mates else "opens a new table"
    click.echo(f"{path}: {len(made.cells)} cells, {path.stat().st_size / 1024:.0f} KiB")
    click.echo(f"protocol {made.protocol_digest[:12]}: {where}")
    for other in [] if mates else listed:
        why = "; ".join(other.protocol.differences(made.protocol))
        if why and other.name != made.name:
            click.echo(f"it does not join {other.name}: {why}")


def _take_in(board: Path, path: Path, made: Entry, *, replace: bool) -> None:
    """Verify an entry with the whole board, then write it and who owns its rows."""
    from linkbench.errors import InputError
    from linkbench.leaderboard import board as boards
    from linkbench.leaderboard import entry, keeping

    register = keeping.read_register(board)
    if made.name in register.entries and not replace:
        raise InputError(f"{path} exists. Choose another --name, or give --replace")
    boards.check_whole(path, made)
    after = register.with_entry(made)
    for record in (entry.rerun_path(path), entry.rerun_path(path, fresh=True)):
        record.unlink(missing_ok=True)
    entry.write(path, made)
    keeping.write_register(board, after)
    own, played = len(after.entries[made.name].rows), len(keeping.rows_of(made))
    click.echo(f"{made.name} owns {own} of {played} rows; the others were played before.")


@examples("linkbench leaderboard take-in leaderboard/entries/my-defence.json")
@command.command("take-in")
@click.argument("entry_file", metavar="ENTRY", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Take the place of an entry of this name.")
@board_option
def take_in(entry_file: Path, replace: bool, board: Path) -> None:
    """Verify an entry that somebody sent, and list it with the rows that nobody played before."""
    from linkbench.leaderboard import board as boards
    from linkbench.leaderboard import entry

    made = entry.read(entry_file)
    _take_in(board, boards.entries_folder(board) / f"{made.name}.json", made, replace=replace)


@examples(
    "linkbench leaderboard build",
    "linkbench leaderboard build --out /tmp/leaderboard",
    "linkbench leaderboard build --out /tmp/leaderboard --since before/board.json",
)
@command.command("build")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the built files.  [default: the board]"
)
@click.option(
    "--since", type=click.Path(path_type=Path, dir_okay=False),
    help="An earlier board.json: refuse a board in which a row, an entry or a key of it changed hands.",
)  # fmt: skip
@board_option
def build(out: Path | None, since: Path | None, board: Path) -> None:
    """Write README.md, leaderboard.csv and index.html from all entries.

    The same entries give the same files; nothing else is read.
    """
    from linkbench.errors import InputError
    from linkbench.leaderboard import build as builder
    from linkbench.leaderboard import keeping

    if since is not None:
        taken = keeping.changed_hands(keeping.read_register_file(since), keeping.read_register(board))
        if taken:
            raise InputError(f"{board} takes from what stood in {since}: {'; '.join(taken)}")
    for path in builder.build(board, out or board):
        click.echo(path)


@examples(
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json",
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json --rerun --tolerance 0.01",
    "linkbench leaderboard verify leaderboard/entries/leaderboard.json --rerun --seed 4711",
)
@command.command("verify")
@click.argument("entry_file", metavar="ENTRY", type=click.Path(path_type=Path))
@click.option("--rerun", is_flag=True, help="Run the entry's scenario again and compare; a success is recorded.")
@click.option(
    "--seed", type=click.IntRange(min=0),
    help="With --rerun: other people, other opponents, drawn by this seed, which the author could not know.",
)  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="How far a number of the rerun may be off.")  # fmt: skip
@click.option(
    "--store", metavar="FOLDER|URL",
    help="Where a rerun keeps finished stages.  [default: a new folder, removed afterwards]",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]", help="Where networks run.")
@click.option(
    "--clean-environment", "install", multiple=True, metavar="WHAT",
    help="With --rerun: do it in a new virtual environment with the entry's pinned requirements; WHAT is 'pinned', or "
    "a folder or wheel to install instead of the distribution of its name. May be repeated.",
)  # fmt: skip
def verify(
    entry_file: Path,
    rerun: bool,
    seed: int | None,
    tolerance: float,
    store: str | None,
    device: str,
    install: tuple[str, ...],
) -> int:
    """Recompute every number of an entry from what it keeps of every photo.

    Budgets are compared with measured changes, cells with the scenario, digests with the content. With --rerun the
    scenario is run again, from nothing, and its numbers are compared with the entry's. The record of a rerun counts
    once somebody signs it who is no author and whose key board.json names.
    """
    from linkbench.leaderboard import entry as entries
    from linkbench.leaderboard.verify import check
    from linkbench.results.cells import cleaned

    if not rerun and (seed is not None or install):
        raise click.UsageError("--seed and --clean-environment belong to --rerun")
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
    if install:
        from linkbench.leaderboard.environment import in_clean_environment
        from linkbench.store.location import is_url

        options = ["--tolerance", f"{tolerance!r}", "--device", device]
        options += [] if seed is None else ["--seed", str(seed)]
        options += [] if store is None else ["--store", store if is_url(store) else str(Path(store).absolute())]
        return in_clean_environment(entry_file, entry, [one for one in install if one != "pinned"], options)
    return _again(entry_file, seed, tolerance, store, device) if rerun else 0


def _again(entry_file: Path, seed: int | None, tolerance: float, store: str | None, device: str) -> int:
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.watch import watcher
    from linkbench.leaderboard import entry as entries
    from linkbench.leaderboard.rerun import compare, compare_fresh, run_again
    from linkbench.results.cells import cleaned

    check_device(device)
    check_torch()
    entry = entries.read(entry_file)
    again = run_again(entry, store, device, watcher, seed)
    record, wrong = compare(entry, again, tolerance) if seed is None else compare_fresh(entry, again, seed, tolerance)
    for difference in wrong[:20]:
        click.echo(cleaned(f"differs: {difference}"), err=True)
    if wrong:
        more = f", of which {len(wrong) - 20} are not shown" if len(wrong) > 20 else ""
        click.echo(f"{len(wrong)} differences{more}; the largest is {record.largest:.6f}.", err=True)
        return 1
    path = entries.rerun_path(entry_file, fresh=seed is not None)
    entries.write(path, record)
    if seed is None:
        said = f"{record.identical} of {record.cells} cells have the same rank for every photo; the largest difference "
        click.echo(f"run again: {said}of a number is {record.largest:.6f}.")
    else:
        click.echo(f"run on fresh people: no defence takes surely more than {100 * tolerance:g} points less away.")
    click.echo(f"Recorded in {path}; it counts once signed: linkbench leaderboard sign {entry_file} --key FILE")
    return 0


@examples("linkbench leaderboard keygen ~/linkbench.key")
@command.command("keygen")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def keygen(file: Path) -> None:
    """Make a key to sign reruns with.

    The private key goes into FILE and nowhere else. The public one is printed; the keepers of a leaderboard put it with
    your name under 'keys' in its board.json.
    """
    from linkbench.leaderboard.signing import new_key

    click.echo(new_key(file))


@examples("linkbench leaderboard sign leaderboard/entries/my-defence.json --key ~/linkbench.key")
@command.command("sign")
@click.argument("entry_file", metavar="ENTRY", type=click.Path(path_type=Path))
@click.option("--key", "key_file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Private key.")
@board_option
def sign(entry_file: Path, key_file: Path, board: Path) -> int:
    """Vouch for the reruns of an entry that you made and that are recorded beside it."""
    from linkbench.errors import InputError
    from linkbench.leaderboard import entry as entries
    from linkbench.leaderboard import keeping, signing

    entry = entries.read(entry_file)
    register = keeping.read_register(board)
    paths = [entries.rerun_path(entry_file), entries.rerun_path(entry_file, fresh=True)]
    found = [path for path in paths if path.exists()]
    if not found:
        raise InputError(
            f"no rerun of {entry_file} is recorded. Make one with: linkbench leaderboard verify {entry_file} --rerun"
        )
    counts = True
    for path in found:
        record = signing.sign(entries.read_rerun(path), key_file)
        entries.write(path, record)
        why = signing.why_not(record, entry, register)
        counts &= not why
        click.echo(f"{path}: signed" + (f", but it does not count: {why}" if why else ""))
    return 0 if counts else 1
