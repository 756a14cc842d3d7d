"""linkbench risk: what photos of a person give away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from linkbench.cli.options import examples, how_to_read
from linkbench.cli.output import output_file

if TYPE_CHECKING:
    from linkbench.genomes.genotype_files.snps import Build
    from linkbench.risk.person import Ancestry

ANCESTRIES = ("ALL", "AFR", "AMR", "EAS", "EUR", "SAS")


@examples(
    "linkbench risk me.png",
    "linkbench risk me.png holiday.png --genotype AncestryDNA.zip --ancestry EUR --page risk.html",
    "linkbench risk me.png --phenotypes sex=female,eye=blue --people 100000 --json",
)
@click.command("risk")
@click.argument("photos", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="PHOTO...")
@click.option("--genotype", type=click.Path(path_type=Path), help="The person's genotype file.")
@how_to_read
@click.option("--phenotypes", metavar="NAME=VARIANT,...", help="What is true of the person, such as sex=female.")
@click.option("--predictor", "predictors", multiple=True, metavar="NAME|FILE",
              help="A predictor that looks; may be repeated.  [default: all that come with linkbench]")  # fmt: skip
@click.option("--ancestry", type=click.Choice(ANCESTRIES), default="ALL", show_default=True,
              help="Who is in the pile: a super-population of the 1000 Genomes Project, or all.")  # fmt: skip
@click.option("--people", type=click.IntRange(100, 10_000_000), default=1_000_000, show_default=True,
              help="Genomes of the largest pile.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Draws the pile and the mild changes of the photos.")
@click.option("--aligned", is_flag=True, help="The photos are aligned faces already, cut out as squares.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="HTML page to write.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False),
              help="PNG file to write: where in the face each phenotype is read.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]", help="Where networks run.")
def command(
    photos: tuple[Path, ...],
    genotype: Path | None,
    sample: str | None,
    assembly: str | None,
    absent: Literal["unknown", "reference"],
    phenotypes: str | None,
    predictors: tuple[str, ...],
    ancestry: Ancestry,
    people: int,
    seed: int,
    aligned: bool,
    as_json: bool,
    page: Path | None,
    picture: Path | None,
    device: str,
) -> None:
    """Say what predictors read from photos of one person, and how far a genome is found by it.

    The largest face of each PHOTO is found, cut out and aligned. Several photos are pooled. With a genotype file the
    genome is the person's own, put into a pile of simulated people. Without, the risk is the mean over genomes of the
    pile that fit what is told by --phenotypes and, for the rest, what is read from the photos. Nothing leaves the
    machine, and nothing is written but the page and the picture that are asked for.
    """
    import json

    from linkbench.execution.device import check_device, check_torch

    check_device(device)
    check_torch()
    told = told_phenotypes(phenotypes)
    from linkbench.errors import InputError
    from linkbench.genomes.genotype_files import reader
    from linkbench.risk.assess import as_dict, assess
    from linkbench.risk.text import as_text

    if genotype is None and (sample is not None or assembly is not None or absent != "unknown"):
        raise InputError("--sample, --assembly and --absent say how to read --genotype; name the file, too")
    build = cast("Build", int(assembly)) if assembly is not None else None
    own = None if genotype is None else reader.read(genotype, sample, build, absent)
    risk = assess(
        photos, genotype=own, phenotypes=told, predictors=predictors, ancestry=ancestry, people=people,
        seed=seed, aligned=aligned, device=device,
    )  # fmt: skip
    if page is not None:
        from linkbench.risk.page import render

        with output_file(page) as temporary:
            temporary.write_bytes(render(risk).encode())
    if picture is not None:
        from linkbench.report import png
        from linkbench.risk.reading import picture as draw

        with output_file(picture) as temporary:
            temporary.write_bytes(png.write(draw(risk.readings)))
    click.echo(json.dumps(as_dict(risk), indent=2, allow_nan=False) if as_json else as_text(risk))


def told_phenotypes(text: str | None) -> dict[str, str]:
    """`sex=female,eye=blue` as a mapping."""
    out: dict[str, str] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, variant = part.strip().partition("=")
        if not equals or name in out:
            raise click.BadParameter(
                f"expected NAME=VARIANT,... each name once, found {part.strip()!r}", param_hint="--phenotypes"
            )
        out[name] = variant
    return out
