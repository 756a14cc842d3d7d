"""linkbench compare: two runs beside each other."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples, full_option


@examples(
    "linkbench compare results/before results/after",
    "linkbench compare results/a results/b --html compared.html",
    "linkbench compare results/a results/b --json",
)
@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@full_option
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page as well.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead.")
def command(first: Path, second: Path, full: bool, html: Path | None, as_json: bool) -> None:
    """Compare two finished runs, cell by cell: paired by person where both link the same people to the same genomes.

    FIRST and SECOND are results folders. Says what the runs did otherwise, and which changes chance does not explain.
    """
    from linkbench.report import compared
    from linkbench.results import folder as files
    from linkbench.results.difference import difference

    found = difference(files.read(first), files.read(second))
    if as_json:
        click.echo(compared.to_json(found))
    else:
        compared.show(found, full)
    if html is not None:
        files.write_text(html, compared.to_html(found, (str(first), str(second))))
        click.echo(f"page: {html}", err=as_json)
