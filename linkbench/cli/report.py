"""linkbench report: the tables of a finished run again, and its page rebuilt."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples


@examples("linkbench report results/paper-matching")
@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rebuild", is_flag=True, help="Write report.html again from the stored numbers.")
def command(folder: Path, rebuild: bool) -> None:
    """Show the tables of a finished run again."""
    from linkbench.report import page, terminal
    from linkbench.results import folder as files

    results = files.read(folder)
    terminal.show(results)
    if rebuild:
        files.write_text(folder / "report.html", page.render(results, folder))
        click.echo(f"page: {folder / 'report.html'}")
