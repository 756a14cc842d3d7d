"""linkbench store: look after the store of finished stages."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.options import examples, store_address
from linkbench.errors import InputError

if TYPE_CHECKING:
    from linkbench.store.store import Store
    from linkbench.store.upkeep import Item

dry_run = click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
SECONDS = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


@examples("linkbench store show", "linkbench store prune --older-than 30d", "linkbench store purge --dry-run")
@click.group("store")
def command() -> None:
    """See how large the store is, make room, find damage, forget photos of real people."""


@examples("linkbench store show", "linkbench store show results/quickstart results/mine")
@command.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@store_address
def show(results: tuple[Path, ...], store: str | None) -> None:
    """Size by stage, and by scenario for the RESULTS folders given (default: those in ./results)."""
    from linkbench.store import upkeep
    from linkbench.store.checkpoints import checkpoints

    where = _open(store)
    found = upkeep.items(where)
    click.echo(f"{where.address}: {_amount(found)}")
    _table("stage", [(stage, items) for stage, items in upkeep.by_stage(found).items()])
    folders = results or tuple(sorted(path.parent for path in Path("results").glob("*/run.json")))
    groups = []
    for folder in folders:
        name, digests = upkeep.reached(folder)
        groups.append((f"{name} ({folder})", [item for item in found if item.digest in digests]))
    if groups:
        click.echo("")
        _table("scenario, stages may be shared", groups)
    if kept := checkpoints(where.blobs):
        number, amount = len({one.stage for one in kept}), _bytes(sum(one.info.size for one in kept))
        what = "1 training was" if number == 1 else f"{number:,} trainings were"
        click.echo(f"{what} interrupted, or runs now: {amount} of checkpoints, from which it goes on")
    if aside := upkeep.quarantine(where):
        click.echo(f"{len(aside)} damaged objects are set aside in {where.address}/quarantine; they can be removed")


@examples(
    "linkbench store prune --older-than 30d",
    "linkbench store prune --keep 5G --dry-run",
    "linkbench store prune --unreachable-from results/quickstart --unreachable-from results/mine",
)
@command.command()
@click.option("--older-than", metavar="AGE", help="What was not used for so long: 12h, 30d, 8w.")
@click.option("--keep", metavar="SIZE", help="The least recently used, until the rest has no more than this: 500M, 5G.")
@click.option(
    "--unreachable-from", "folders", multiple=True, type=click.Path(path_type=Path, file_okay=False),
    help="What belongs to none of these results folders. May be repeated.",
)  # fmt: skip
@dry_run
@store_address
def prune(
    older_than: str | None, keep: str | None, folders: tuple[Path, ...], dry_run: bool, store: str | None
) -> None:
    """Make room. What goes is computed again when it is needed.

    Several options together remove what any of them names. What was used within the last hour stays, as a run may be at
    work; what belongs to no stage and is older goes in any case. Checkpoints of interrupted trainings go once they are
    older than AGE, and with --unreachable-from.
    """
    from linkbench.store import upkeep
    from linkbench.store.cache import UNITS

    if older_than is None and keep is None and not folders:
        raise click.UsageError("say what can go: --older-than, --keep or --unreachable-from")
    age = None if older_than is None else _number(older_than, SECONDS, "--older-than", "12h, 30d or 8w")
    room = None if keep is None else _number(keep, UNITS, "--keep", "500M or 5G")
    where = _open(store)
    found = upkeep.items(where)
    gone = {item.name: item for item in upkeep.unreachable(found, folders)} if folders else {}
    if age is not None:
        gone |= {item.name: item for item in upkeep.older(found, age)}
    if room is not None:
        left = [item for item in found if item.name not in gone]
        gone |= {item.name: item for item in upkeep.beyond(left, int(room))}
    settled = upkeep.settled(list(gone.values()))
    if not dry_run:
        upkeep.remove(where, settled)
    _removed(settled, dry_run)
    if len(settled) < len(gone):
        click.echo(f"{len(gone) - len(settled)} stages were used within the last hour and stay: a run may be at work")
    _remove_blobs(where, upkeep.strays(where), [], dry_run, "of no stage")
    since = 0.0 if folders else inf if age is None else age
    unfinished = [one.info.name for one in upkeep.abandoned(where, found, since)]
    _remove_blobs(where, unfinished, [], dry_run, "of trainings that were interrupted")


@examples("linkbench store verify")
@command.command()
@store_address
def verify(store: str | None) -> None:
    """Read every object and compare it with its digest; damaged ones are set aside and computed again when needed."""
    from linkbench.store import upkeep

    where = _open(store)
    found = upkeep.items(where)
    bad = upkeep.damaged(where, found)
    for item in bad:
        aside = where.quarantined.get(item.digest)
        click.echo(f"{item.stage} {item.digest[:16]}: " + ("gone" if aside is None else f"damaged, now {aside}"))
    for name in upkeep.strays(where):
        click.echo(f"{where.address}/{name}: belongs to no finished stage; 'linkbench store prune' removes it")
    click.echo(f"{where.address}: {_amount(found)}, {len(bad)} of them damaged or gone")
    if bad:
        raise SystemExit(1)


@examples("linkbench store purge --dry-run", "linkbench store purge")
@command.command()
@dry_run
@store_address
def purge(dry_run: bool, store: str | None) -> None:
    """Forget real people: cohorts with their photos, and all that was computed from them, networks included.

    What was computed from something that the store no longer holds goes too, and every damaged or unfinished file:
    nobody knows whom they show. Results folders are not touched; reports of real people hold no photos. Do not run it
    while a run is at work.
    """
    from linkbench.store import upkeep
    from linkbench.store.checkpoints import checkpoints

    where = _open(store)
    gone = upkeep.of_real_people(upkeep.items(where), _shows_real_people)
    kept = [one.info.name for one in checkpoints(where.blobs)]
    unknown = [*upkeep.strays(where, young=True), *upkeep.quarantine(where), *kept]
    unfinished = where.blobs.unfinished()
    if not dry_run:
        upkeep.remove(where, gone, young=True)
    _removed(gone, dry_run)
    _remove_blobs(where, unknown, unfinished, dry_run, "damaged, unfinished or of no stage")
    _remove_blobs(where, [], where.blobs.copies(), dry_run, "of the cache folder of this machine")


def _shows_real_people(name: str) -> bool:
    """Whether a cohort brings photos of real people; one that is not installed any more may."""
    from linkbench.errors import PluginError
    from linkbench.registry.registry import registry

    try:
        source = registry().load("cohort", name)
    except PluginError:
        return True
    return bool(source.has_photos and not source.imaginary)


def _open(store: str | None) -> Store:
    from linkbench.store.location import default_address, is_url
    from linkbench.store.store import Store

    address = store or default_address()
    if not is_url(address) and not Path(address, "keys").is_dir():
        raise InputError(f"{address} is no store: it has no folder 'keys'. Name one with --store or LINKBENCH_STORE")
    return Store(address)


def _removed(gone: list[Item], dry_run: bool) -> None:
    from linkbench.store import upkeep

    _table("stage", list(upkeep.by_stage(gone).items()))
    click.echo(f"{'would remove' if dry_run else 'removed'} {_amount(gone)}")


def _remove_blobs(store: Store, names: list[str], files: list[Path], dry_run: bool, what: str) -> None:
    if not dry_run:
        for name in names:
            store.blobs.delete(name)
        for path in files:
            path.unlink(missing_ok=True)
    if number := len(names) + len(files):
        count = f"{number:,} file{'' if number == 1 else 's'}"
        click.echo(f"{'would remove' if dry_run else 'removed'} {count} {what}")


def _number(text: str, units: dict[str, float], option: str, example: str) -> float:
    from linkbench.store.cache import quantity

    found = quantity(text, units)
    if found is None:
        raise click.BadParameter(f"expected something like {example}, found {text!r}", param_hint=option)
    return found


def _amount(found: list[Item]) -> str:
    from linkbench.store.upkeep import size

    return f"{len(found):,} stage{'' if len(found) == 1 else 's'}, {_bytes(size(found))}"


def _bytes(count: int) -> str:
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} bytes"


def _table(heading: str, groups: Iterable[tuple[str, list[Item]]]) -> None:
    from linkbench.store.upkeep import size

    lines = [(name, f"{len(items):,}", _bytes(size(items))) for name, items in groups if items]
    if lines:
        width = max(len(heading), *(len(name) for name, _, _ in lines))
        click.echo(f"{heading:<{width}}  stages       size")
        for name, count, amount in lines:
            click.echo(f"{name:<{width}}  {count:>6}  {amount:>9}")
