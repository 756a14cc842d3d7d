"""linkbench plot: one figure of a finished run, as a file."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples


@examples(
    "linkbench plot results/quickstart",
    "linkbench plot results/quickstart curves --out curves.pdf",
    "linkbench plot results/quickstart visibility --out visibility.svg --channel png --n 1000",
)
@click.command("plot")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to: .pdf, .svg, .png, .html or .json."
)
@click.option("--channel", help="How photos were posted.")
@click.option("--k", type=int, help="Candidates that count.")
@click.option("--n", type=int, help="Population size.")
@click.option("--dark", is_flag=True, help="On dark paper.")
def command(
    folder: Path, name: str | None, out: Path | None, channel: str | None, k: int | None, n: int | None, dark: bool
) -> None:
    """Write a figure of a finished run, or list those that it has.

    .pdf, .svg and .png want vl-convert (pip install 'linkbench[figures]') and no browser; .html has the figure with its
    switches and needs no network; .json is the specification in Vega-Lite.
    """
    from linkbench.results import folder as files

    results = files.read(folder)
    if name is None:
        for chart in results.charts().values():
            told = "; ".join(f"{switch} {', '.join(map(str, values))}" for switch, values in chart.switches.items())
            click.echo(f"{chart.name:<12} {chart.heading}{f' ({told})' if told else ''}")
        return
    if out is None:
        raise click.UsageError("where to? name a file with --out, ending in .pdf, .svg, .png, .html or .json")
    chosen = {switch: value for switch, value in (("channel", channel), ("k", k), ("n", n)) if value is not None}
    results.chart(name).at(**chosen).save(out, dark=dark)
    click.echo(f"{name}: {out}")
