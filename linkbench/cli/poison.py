"""linkbench poison: a pattern of one's own in the photos of one's album, against whoever trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.album import tell
from linkbench.cli.options import examples
from linkbench.cli.protect import epsilon_of

if TYPE_CHECKING:
    from linkbench.protection.poison import Pattern

PATTERNS = ("rademacher", "lsp", "autoregressive")


@examples(
    "linkbench poison album/ --out poisoned",
    "linkbench poison album/ --out poisoned --pattern lsp --epsilon 12/255",
    "linkbench poison protected/ --out both",
)
@click.command("poison")
@click.argument("photos", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@click.option(
    "--pattern", type=click.Choice(PATTERNS), default="lsp", show_default=True,
    help="Random signs, patches of colour, or texture.",
)  # fmt: skip
@click.option("--epsilon", default="8/255", show_default=True, help="Largest change of a colour.")
@click.option("--keep-metadata", is_flag=True, help="Keep camera data and places; thumbnails go all the same.")
@click.option(
    "--secret", type=click.IntRange(min=0), help="Draws the pattern.  [default: random, kept in the manifest]"
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
def command(
    photos: tuple[Path, ...],
    out: Path,
    pattern: Pattern,
    epsilon: str,
    keep_metadata: bool,
    secret: int | None,
    as_json: bool,
) -> None:
    """Put one secret pattern into all photos of a person, JPEG, PNG, WebP or HEIC, or in folders of them.

    Who trains a network on such photos may learn the pattern instead of the face. The pattern is that of one person,
    whose face is the largest in each photo; other faces stay as they are. Size, format and orientation stay, originals
    are not touched. What was written is read again and posted in several ways; what is left of the pattern is printed
    and kept in a manifest, from which an interrupted run goes on. Photos added later get the same pattern. The manifest
    holds the secret: do not post it.

    What was measured of it, against whom, the command says. Exit status 1: a photo failed; 2: nothing was written.
    """
    from linkbench.execution.device import check_torch

    check_torch()
    from linkbench.protection import album, poison, text

    strength = epsilon_of(epsilon)
    sources = album.photos_in(photos)
    album.check_places(sources, out)
    wish = poison.PoisonWish(pattern, strength, keep_metadata, album.secret_of(out, secret, poison.COMMAND))
    each = poison.poison_files(sources, out, wish)
    outcomes = tell(each, out, text.of_poisoned, text.POISONED, done="poisoned", as_json=as_json)
    failed = [one for one in outcomes if one.record is None]
    if failed:
        raise SystemExit(2 if len(failed) == len(outcomes) else 1)
