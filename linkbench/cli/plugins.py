"""linkbench plugins: what is installed, from where, with which parameters, and what is broken."""

from __future__ import annotations

import json
from typing import Any

import click

from linkbench.cli.options import examples


@examples(
    "linkbench plugins",
    "linkbench plugins --kind defender",
    "linkbench plugins --kind attacker --json",
)
@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--kind", help="Only plugins of one kind, e.g. defender, with their parameters.")
def command(as_json: bool, kind: str | None) -> None:
    """List installed plugins; of one kind, with their parameters."""
    from linkbench.api.kinds import KINDS
    from linkbench.registry.catalogue import describe
    from linkbench.registry.registry import registry

    if kind is not None and kind not in KINDS:
        raise click.BadParameter(f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}", param_hint="--kind")
    entries = [entry for entry in describe() if kind in (None, entry["kind"])]
    broken = [entry._asdict() for entry in registry().broken]
    if as_json:
        click.echo(json.dumps({"plugins": entries, "broken": broken}, indent=2))
        return
    _table(entries, broken, parameters=kind is not None)


def _table(entries: list[dict[str, Any]], broken: list[dict[str, Any]], parameters: bool) -> None:
    """Names and summaries by kind; below each name its parameters with defaults, if wanted."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from linkbench.api.text import shown

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    last = None
    for entry in entries:
        if entry["kind"] != last:
            if last:
                table.add_row()
            table.add_row(Text(entry["kind"], "bold"))
            last = entry["kind"]
        what = Text(entry["summary"]) if not entry["broken"] else Text(f"BROKEN: {entry['broken']}", "red")
        if entry["distribution"] != "linkbench":
            what.append(f" ({entry['distribution']} {entry['version']})", "dim")
        table.add_row(Text(f"  {entry['name']}"), what)
        for key, value in entry["parameters"].items() if parameters else ():
            default = "" if key in entry["required"] else f"={_brief(value.get('default'))}"
            # of other packages: what steers terminals must not reach one
            table.add_row(Text(shown(f"    {key}{default}"), "dim"), Text(shown(value.get("description", "")), "dim"))
    console = Console(highlight=False)
    console.print(table)
    if not parameters:
        console.print("\nWith their parameters: linkbench plugins --kind KIND")
    for problem in broken:
        console.print(Text(f"broken: {problem['distribution']}: {problem['name']}: {problem['reason']}", "red"))


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_brief(item) for item in value) + "]"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
