"""What the commands that change photos say of each, in text or in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from linkbench.protection.album import Outcome


def tell(
    outcomes: Iterable[Outcome],
    out: Path,
    describe: Callable[[dict[str, Any]], Iterable[str]],
    closing: str,
    *,
    done: str,
    as_json: bool,
) -> list[Outcome]:
    """Say how each photo fared, as soon as it is known; all outcomes.

    describe: lines about what the manifest holds of a photo; closing: what is said last, of photos that were changed;
    done: what had been done to a photo that is as it was.
    """
    import json

    told = []
    for outcome in outcomes:
        told.append(outcome)
        if outcome.record is None:
            click.echo(f"linkbench: {outcome.failed}", err=True)
        elif not as_json:
            again = f", as it was {done} before" if outcome.skipped else ""
            click.echo("\n".join([f"{out / outcome.source.name}{again}", *describe(outcome.record)]))
    if as_json:
        records = {str(each.source): each.record or {"failed": each.failed} for each in told}
        click.echo(json.dumps(records, indent=2, allow_nan=False))
    elif any(each.record for each in told):
        click.echo(f"\n{closing}", nl=False)
    return told
