"""linkbench leaderboard try: one defence against all opponents of a table, and where it would stand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.options import examples, parse_params, store_address

if TYPE_CHECKING:
    from rich.console import Console

    from linkbench.leaderboard.assembly import Sheet
    from linkbench.leaderboard.trying import Tried

board_option = click.option(
    "--board", type=click.Path(path_type=Path, file_okay=False), default=Path("leaderboard"), show_default=True,
    help="Folder of the leaderboard.",
)  # fmt: skip

AROUND = 4
"""Rows of a class that are shown above and below the defence."""


@examples(
    "linkbench leaderboard try blur --set sigma=3",
    "linkbench leaderboard try joint-pgd --set epsilon=4/255 --channel png",
    "linkbench leaderboard try shortcut --poison --protocol poisons-v1",
)
@click.command("try")
@click.argument("plugin")
@click.option(
    "--set", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the defence. May be repeated."
)
@click.option("--poison", is_flag=True, help="Let it change the photos that attackers train on.")
@click.option(
    "--protocol", metavar="NAME", help="A protocol of the toolkit.  [default: that of the board's first table]"
)
@click.option("--channel", "channels", multiple=True, metavar="LABEL", help="Only this one. May be repeated.")
@click.option(
    "--seed", "seeds", multiple=True, type=click.IntRange(min=0),
    help="Only this one; with fewer seeds than the table it stands there alone. May be repeated.",
)  # fmt: skip
@store_address
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]", help="Where networks run.")
@board_option
def try_defence(
    plugin: str,
    params: tuple[str, ...],
    poison: bool,
    protocol: str | None,
    channels: tuple[str, ...],
    seeds: tuple[int, ...],
    store: str | None,
    device: str,
    board: Path,
) -> int:
    """Play one defence against all opponents of a table, and show where it would stand.

    Opponents are trained at the first try and kept in the store; then a try costs what the defence costs. Nothing is
    added to the board.
    """
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.watch import watcher
    from linkbench.leaderboard import trying
    from linkbench.leaderboard.board import load
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    check_device(device)
    check_torch()
    started = time.monotonic()
    spec = parse_params("defender", plugin, params)
    found = trying.ground(load(board) if board.is_dir() else [], protocol)
    scenario = trying.scenario_with(found.scenario, spec, poison=poison, channels=channels, seeds=seeds)
    tried = trying.play(scenario, found.mates, Store(store or default_address()), device, watcher)
    _show(tried, time.monotonic() - started)
    return 1 if any(what.startswith("failed: ") for what in tried.remarks) else 0


def _show(tried: Tried, seconds: float) -> None:
    from rich.console import Console

    from linkbench.leaderboard import text

    console = Console(highlight=False)
    shown = [sheet for sheet in tried.sheets if tried.places(sheet)]
    for sheet in shown:
        _show_sheet(tried, sheet, console)
    rankings = (sheet.ranking for sheet in shown)
    for sentence in dict.fromkeys(line for one in rankings for line in text.opponents_of(one.weak, one.judging)):
        console.print(sentence, style="dim", markup=False)
    for remark in tried.remarks:
        console.print(remark, style="yellow", markup=False)
    console.print(f"{seconds:.0f} s", style="dim")


def _show_sheet(tried: Tried, sheet: Sheet, console: Console) -> None:
    """The defence among its class, and what is told apart from it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from linkbench.leaderboard import text
    from linkbench.report import numbers

    places = sheet.ranking.places
    for mine in tried.places(sheet):
        why = sheet.table.why_unranked(mine.row)
        where = f"rank {text.ranks(mine)} of {_ranked(sheet, mine.bound)}" if mine.rank else why or "no rank"
        group = f"class {text.budget_class(mine)}"
        console.print(f"\n{text.row_name(mine.row)}, posted as {sheet.table.channel}: {where}, {group}", style="bold",
                      markup=False)  # fmt: skip
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for heading, right in (("rank", True), ("defence", False), ("at worst", True), ("interval", True),
                               ("SSIM", True), ("against", False)):  # fmt: skip
            table.add_column(heading, justify="right" if right else "left", overflow="fold")
        same = [place for place in places if place.bound == mine.bound or place.row.yardstick == "none"]
        at = same.index(mine)
        for place in [one for index, one in enumerate(same) if abs(index - at) <= AROUND or one.row.control]:
            worst = place.worst
            words = [
                text.ranks(place), text.row_name(place.row), numbers.percent(worst.value),
                numbers.percent_range(worst.low, worst.high, ""),
                numbers.NOTHING if place.row.ssim is None else f"{place.row.ssim:.3f}", text.opponent(worst.opponent),
            ]  # fmt: skip
            style = "bold" if place is mine else "dim" if place.row.control else ""
            table.add_row(*map(Text, words), style=style)
        console.print(table)
        apart = sheet.ranking.apart[places.index(mine)]
        told = [text.row_name(place.row) for place, sure in zip(places, apart, strict=True) if sure]
        said = numbers.and_list(told) if told else "nothing"
        console.print(f"Told apart from {said}.", markup=False)


def _ranked(sheet: Sheet, bound: float | None) -> int:
    return sum(place.rank is not None and place.bound == bound for place in sheet.ranking.places)
