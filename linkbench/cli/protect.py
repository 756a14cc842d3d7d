"""linkbench protect: the faces in one's own photos, changed as little as a target asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from linkbench.cli.album import tell
from linkbench.cli.options import examples, store_address, with_options
from linkbench.cli.risk import ANCESTRIES, told_phenotypes

if TYPE_CHECKING:
    from linkbench.protection.background import Background
    from linkbench.protection.judge import Judge
    from linkbench.risk.person import Ancestry

PLATFORMS = ("mediawiki", "signal")

scenario_option = click.option(
    "--scenario", type=click.Path(path_type=Path),
    help="Scenario with the networks, people and defender to use.  [default: one that comes along]",
)  # fmt: skip

judged = with_options(
    click.option("--genotype", type=click.Path(path_type=Path), help="The person's genotype file."),
    click.option("--phenotypes", metavar="NAME=VARIANT,...", help="What is true of the person: sex=female."),
    click.option(
        "--ancestry", type=click.Choice(ANCESTRIES), default="ALL", show_default=True,
        help="Who is in the pile of genomes: a super-population of the 1000 Genomes Project, or all.",
    ),
    click.option(
        "--people", type=click.IntRange(1_000, 1_000_000), default=10_000, show_default=True,
        help="Genomes in the pile.",
    ),
    click.option(
        "--for", "platform", type=click.Choice(PLATFORMS),
        help="Where it will be posted: that preset alone is checked.  [default: all, crops, screenshots]",
    ),
    scenario_option,
    store_address,
)  # fmt: skip
"""Who judges, and whose genome is looked for."""


@examples(
    "linkbench protect me.jpg --out protected",
    "linkbench protect album/ --out protected --delta-e 6",
    "linkbench protect me.jpg --out protected --genotype AncestryDNA.zip --target-risk 0.02@100",
)
@click.command("protect")
@click.argument("photos", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@click.option("--epsilon", help="Largest change of a colour, such as 8/255.  [default: 8/255]")
@click.option(
    "--delta-e", type=click.FloatRange(min=0), help="As much as fits: 95 % of the face change by less (CIELAB)."
)
@click.option("--target-risk", metavar="RISK@SIZE", help="As little as brings success in a pile of SIZE down to RISK.")
@click.option("--target-rank", type=click.FloatRange(min=1), help="As little as puts the genome at that rank of 1,000.")
@click.option("--faces", type=click.Choice(["all", "largest"]), default="all", show_default=True, help="Whose.")
@click.option("--keep-metadata", is_flag=True, help="Keep camera data and places; thumbnails go all the same.")
@click.option("--secret", type=click.IntRange(min=0), help="Draws the decoys.  [default: random, kept in the manifest]")
@judged
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
def command(
    photos: tuple[Path, ...],
    out: Path,
    epsilon: str | None,
    delta_e: float | None,
    target_risk: str | None,
    target_rank: float | None,
    faces: Literal["all", "largest"],
    keep_metadata: bool,
    secret: int | None,
    genotype: Path | None,
    phenotypes: str | None,
    ancestry: Ancestry,
    people: int,
    platform: str | None,
    scenario: Path | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Protect the faces in photos, JPEG, PNG, WebP or HEIC, or in folders of them.

    Each face is made to look like a secret random other person to a group of networks, within a change of its pixels;
    size, format and orientation stay, originals are not touched. The file is checked as written, and posted in several
    ways, by attackers who know the tool and ran it on people of their own: with the networks that the change was made
    for, and with others. What they say before and after is printed and kept in a manifest, from which an interrupted
    run goes on. The manifest holds the secret: do not post it.

    The networks come with linkbench; those of a --scenario are trained first, and kept in the store. Exit status 1: a
    photo failed or missed its target; 2: nothing was written.
    """
    from linkbench.protection import album, files, text

    target, k_size = _target(epsilon, delta_e, target_risk, target_rank)
    sources = album.photos_in(photos)
    album.check_places(sources, out)
    background, judge = people_and_judge(
        scenario, store, genotype, phenotypes, ancestry, people, k_size, target.epsilon
    )  # fmt: skip
    wish = files.Wish(target, faces, platform, keep_metadata, album.secret_of(out, secret, files.COMMAND))
    each = files.protect_files(sources, out, background, judge, wish)
    outcomes = tell(each, out, text.of_photo, text.CAREFUL, done="protected", as_json=as_json)
    failed = [one for one in outcomes if one.record is None]
    missed = any(one.record is not None and not one.record["met"] for one in outcomes)
    if failed or missed:
        raise SystemExit(2 if len(failed) == len(outcomes) else 1)


def people_and_judge(
    scenario: Path | None,
    store: str | None,
    genotype: Path | None,
    phenotypes: str | None,
    ancestry: Ancestry,
    people: int,
    k_size: tuple[int, int] = (1, 100),
    epsilon: float | None = None,
) -> tuple[Background, Judge]:
    """What a protection is made with, and who judges it; epsilon: one that attackers must be taught about."""
    from linkbench.genomes.genotype_files import reader
    from linkbench.protection.judge import judge_of

    told = told_phenotypes(phenotypes)
    own = None if genotype is None else reader.read(genotype)
    background = background_of(scenario, store)
    if epsilon is not None:
        background.taught_at(epsilon)  # refuses what is too strong before any photo is opened
    k, size = k_size
    judge = judge_of(
        background, genotype=own, phenotypes=told, ancestry=ancestry, people=people, k=k, size=size
    )  # fmt: skip
    return background, judge


def background_of(scenario: Path | None, store: str | None) -> Background:
    """What a protection is made with: what comes with linkbench, or a scenario of the user's carried out."""
    from linkbench.execution.device import check_torch
    from linkbench.execution.watch import watcher
    from linkbench.protection import shipped
    from linkbench.protection.background import prepare, scenario_of
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    check_torch()
    ready = shipped.background() if scenario is None else None
    return ready or prepare(scenario_of(scenario), Store(store or default_address()), watcher)


def _target(
    epsilon: str | None, delta_e: float | None, risk: str | None, rank: float | None
) -> tuple[Any, tuple[int, int]]:
    """The one target that is given, and which success it is about."""
    from linkbench.protection.strength import Target

    given = [name for name, value in (("--epsilon", epsilon), ("--delta-e", delta_e), ("--target-risk", risk),
                                      ("--target-rank", rank)) if value is not None]  # fmt: skip
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other; give one")
    if risk is not None:
        found = re.fullmatch(r"(0?\.\d+|[01])@([1-9]\d{0,6})", risk)
        if found is None:
            raise click.BadParameter(
                f"expected a chance and the size of the pile, such as 0.02@100, found {risk!r}",
                param_hint="--target-risk",
            )
        return Target(risk=float(found[1])), (1, int(found[2]))
    if rank is not None or delta_e is not None:
        return Target(rank=rank, delta_e=delta_e), (1, 100)
    return Target(epsilon=epsilon_of(epsilon or "8/255")), (1, 100)


def epsilon_of(text: str) -> float:
    """`8/255` or `0.03`, above 0 and at most 1/4."""
    fraction = re.fullmatch(r"(\d{1,3})/255", text)
    try:
        value = int(fraction[1]) / 255 if fraction else float(text)
    except ValueError:
        value = -1.0
    if not 1 / 255 <= value <= 0.25:
        raise click.BadParameter(f"expected 1/255 to 0.25, such as 8/255, found {text!r}", param_hint="--epsilon")
    return value
