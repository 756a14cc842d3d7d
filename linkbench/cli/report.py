"""linkbench report: the tables of a finished run again, and its page rebuilt."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from linkbench.cli.options import examples, full_option, store_address


@examples(
    "linkbench report results/paper-matching",
    "linkbench report results/paper-matching --full",
    "linkbench report results/paper-matching --json",
    "linkbench report results/album --people",
)
@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rebuild", is_flag=True, help="Write report.html again from the stored numbers.")
@full_option
@click.option("--json", "as_json", is_flag=True, help="Print cells, numbers, flags and conclusions as JSON instead.")
@click.option("--people", is_flag=True, help="How each photo fares, by its file name, instead of the tables.")
@store_address
def command(folder: Path, rebuild: bool, full: bool, as_json: bool, people: bool, store: str | None) -> None:
    """Show what a finished run shows, again.

    With --people the names of the photos are taken from the store, where the run left them. They are shown here alone:
    no results folder, page or leaderboard holds them.
    """
    if people and as_json:
        raise click.UsageError("--people and --json show different things; leave one of them out")
    from linkbench.report import page, terminal
    from linkbench.report.as_json import to_json
    from linkbench.results import folder as files

    results = files.read(folder)
    if people:
        from linkbench.report import people as by_name
        from linkbench.results.photos import places
        from linkbench.store.location import default_address
        from linkbench.store.store import Store

        read = Store(store or default_address()).read
        for cell, found in places(results.run, partial(files.read_ranks, folder), read):
            click.echo(by_name.table(results.run, cell, found))
    elif as_json:
        click.echo(to_json(results))
    else:
        terminal.show(results, full=full)
    if rebuild:
        files.write_text(folder / "report.html", page.render(results, folder))
        click.echo(f"page: {folder / 'report.html'}", err=as_json)
