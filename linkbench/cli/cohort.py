"""linkbench cohort: a look at photos before work is spent on them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.options import examples
from linkbench.cli.output import output_file

if TYPE_CHECKING:
    from linkbench.api.data import Array, Cohort

GAP = 2
"""White pixels between photos."""


@examples("linkbench cohort show rendered --out sheet.png")
@click.group("cohort")
def command() -> None:
    """Look at a cohort."""


@examples(
    "linkbench cohort show rendered --set per_identity=4 --set size=128 --out sheet.png",
    "linkbench cohort show paper-release --set path=paper-release --out sheet.png",
    "linkbench cohort show folder --set path=photos --genomes table --set-genomes path=genomes.csv --out sheet.png",
)
@command.command("show")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="PNG file to write.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A parameter of the cohort.")
@click.option("--genomes", default="paper-tables", show_default=True, help="The genomes that the people have.")
@click.option("--set-genomes", "of_genomes", multiple=True, metavar="KEY=VALUE", help="A parameter of the genomes.")
@click.option("--count", type=click.IntRange(1, 10_000), default=64, show_default=True, help="Photos to show, at most.")
@click.option("--seed", default=0, show_default=True, help="Seed, as in a scenario.")
def show(
    name: str,
    out: Path,
    overrides: tuple[str, ...],
    genomes: str,
    of_genomes: tuple[str, ...],
    count: int,
    seed: int,
) -> None:
    """Write the first photos of a cohort as one picture; a row for each person who has several."""
    from linkbench.api import seeds
    from linkbench.api.data import check_cohort
    from linkbench.cli.options import parse_params
    from linkbench.errors import InputError, MissingExtraError
    from linkbench.stages.build import built_cohort, built_genomes

    spec = parse_params("cohort", name, overrides)
    if not spec.plugin().has_photos:
        raise InputError(f"cohort '{name}' has no photos. Choose one that has, such as 'rendered'")
    chosen = parse_params("genomes", genomes, of_genomes, "--set-genomes")
    try:
        import PIL.Image
    except ImportError:
        raise MissingExtraError("A contact sheet", "pillow", "photos") from None
    table = built_genomes(chosen, seeds.derive(seed, "genomes"))
    cohort = built_cohort(spec, table.artefact(), seeds.derive(seed, "cohort"))
    check_cohort(cohort, table, f"cohort {spec.label}")
    with output_file(out) as temporary:  # before the photos are made: a bad path should not cost minutes
        photos = first_photos(cohort, count)
        PIL.Image.fromarray(sheet(photos, cohort.identity[: len(photos)])).save(temporary, "PNG")
    people = len(set(cohort.identity[: len(photos)].tolist()))
    click.echo(f"{len(photos)} of {len(cohort)} photos, {people} people: {out}")


def first_photos(cohort: Cohort, count: int) -> Array:
    """uint8 [n, 3, h, w], the first photos; of a stream no more is made than is needed."""
    import numpy as np

    from linkbench.api.data import Stream

    if not isinstance(cohort.photos, Stream):
        assert cohort.photos is not None
        return np.asarray(cohort.photos[:count])
    photos = islice((photo for block in cohort.photos.blocks for photo in block), count)
    return np.stack(list(photos))


def sheet(photos: Array, identity: Array) -> Array:
    """uint8 [H, W, 3]: a near-square grid; where most people have several photos, a row for each person."""
    import numpy as np

    rows: dict[int, list[Array]] = {}
    for photo, who in zip(photos, identity.tolist(), strict=True):
        rows.setdefault(who, []).append(photo)
    lines = list(rows.values())
    if sum(len(line) > 1 for line in lines) * 2 <= len(lines):
        width = int(np.ceil(np.sqrt(len(photos))))
        lines = [list(photos[start : start + width]) for start in range(0, len(photos), width)]
    _, _, h, w = photos.shape
    width = max(map(len, lines))
    out = np.full((len(lines) * (h + GAP) - GAP, width * (w + GAP) - GAP, 3), 255, dtype=np.uint8)
    for y, line in enumerate(lines):
        for x, photo in enumerate(line):
            out[y * (h + GAP) : y * (h + GAP) + h, x * (w + GAP) : x * (w + GAP) + w] = photo.transpose(1, 2, 0)
    return out
