"""linkbench verify: what is left to be read from a protected photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.options import examples
from linkbench.cli.protect import judged, people_and_judge

if TYPE_CHECKING:
    from linkbench.risk.person import Ancestry


@examples("linkbench verify me.jpg protected/me.jpg", "linkbench verify me.jpg downloaded.jpg --for mediawiki --json")
@click.command("verify")
@click.argument("original", type=click.Path(path_type=Path), metavar="ORIGINAL")
@click.argument("protected", type=click.Path(path_type=Path), metavar="PROTECTED")
@judged
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
def command(
    original: Path,
    protected: Path,
    genotype: Path | None,
    phenotypes: str | None,
    ancestry: Ancestry,
    people: int,
    platform: str | None,
    scenario: Path | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Repeat the check of `linkbench protect` for a photo and the same photo protected, by whatever tool.

    Both must have the same size. Attackers learned from photos that linkbench itself protected, as strongly as these
    two differ; against another tool they know less than its own users could. Nothing is written.
    """
    import json

    from linkbench.protection import files, text

    background, judge = people_and_judge(scenario, store, genotype, phenotypes, ancestry, people)
    record = files.compare(original, protected, background, judge, platform)
    if as_json:
        click.echo(json.dumps(record, indent=2, allow_nan=False))
    else:
        click.echo("\n".join([str(protected), *text.of_photo(record), "", text.CAREFUL]), nl=False)
