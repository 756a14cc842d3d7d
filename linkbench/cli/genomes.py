"""linkbench genomes: tables of P(variant | genome) as files."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples
from linkbench.cli.output import output_file


@examples("linkbench genomes export paper-tables --out genomes.csv")
@click.group("genomes")
def command() -> None:
    """Work with genome tables."""


@examples(
    "linkbench genomes export paper-tables --set setting=ideal --out ideal.csv",
    "linkbench genomes export simulated --set count=1000 --out simulated.csv",
)
@command.command("export")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="CSV file to write.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A parameter of the genomes.")
@click.option("--seed", default=0, show_default=True, help="Seed, for genomes that are drawn.")
def export(name: str, out: Path, overrides: tuple[str, ...], seed: int) -> None:
    """Write ids and P(variant | genome) of a genome source as CSV."""
    import csv

    import numpy as np

    from linkbench.api import seeds
    from linkbench.cli.options import parse_params
    from linkbench.results.folder import check_folder
    from linkbench.stages.build import built_genomes

    spec = parse_params("genomes", name, overrides)
    check_folder(out.parent)
    genomes = built_genomes(spec, seeds.derive(seed, "genomes"))
    with output_file(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *genomes.schema.columns])
        for start in range(0, len(genomes), 65536):
            block = np.exp(genomes.log_p[start : start + 65536])
            names = genomes.ids[start : start + 65536]
            writer.writerows([id_.decode(), *row] for id_, row in zip(names, block.tolist(), strict=True))
    click.echo(f"{len(genomes)} genomes: {out}")
