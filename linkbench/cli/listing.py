"""linkbench list: finished runs, and the scenarios that come with the toolkit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from linkbench.cli.options import examples


@examples("linkbench list", "linkbench list results/old", "linkbench list --json")
@click.command("list")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("results"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(folder: Path, as_json: bool) -> None:
    """List the finished runs below a folder, and the scenarios that come with the toolkit.

    FOLDER holds results folders; results by default. What 'linkbench run NAME' can run is named below.
    """
    from linkbench.scenario import shipped

    found = runs(folder)
    known = [{"name": name, "about": shipped.about(name)} for name in shipped.names()]
    if as_json:
        click.echo(json.dumps({"results": found, "scenarios": known}, indent=1, ensure_ascii=False))
        return
    _show(folder, found, known)


def runs(folder: Path) -> list[dict[str, Any]]:
    """Folder, scenario, cells, failed cells and what the run shows, of every finished run in or just below a folder."""
    from linkbench.errors import InputError
    from linkbench.report import brief, summary
    from linkbench.results import folder as files

    out: list[dict[str, Any]] = []
    for path in [folder, *sorted(folder.glob("*/"))] if folder.is_dir() else []:
        if not (path / "run.json").is_file():
            continue
        try:
            results = files.read(path)
            settings = summary.headline(results.conclusions())
        except InputError as error:
            out.append({"folder": str(path), "problem": str(error)})
            continue
        said = brief.conclusion(settings, 1)[0] if settings else ""
        record: dict[str, Any] = {"folder": str(path), "name": results.run.get("scenario", {}).get("name", "")}
        out.append({**record, "cells": len(results.cells), "failed": len(results.failed), "shows": said})
    return out


def _show(folder: Path, found: list[dict[str, Any]], known: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from linkbench.report import numbers
    from linkbench.results.cells import cleaned

    console = Console(highlight=False)
    wide = console.width - max((len(one["name"]) for one in known), default=0) - 3
    ran = [(one["folder"], _cells(one), one.get("problem") or one["shows"]) for one in found]
    ours = [(one["name"], numbers.cut(one["about"], wide)) for one in known]
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = [
        ("finished runs", ("folder", "cells", "shows"), [*ran]),
        ("scenarios, by name: linkbench run NAME", ("name", "about"), [*ours]),
    ]
    for title, heads, rows in tables:
        if not rows:
            continue
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for heading in heads:
            grid.add_column(heading, overflow="fold")
        for row in rows:
            grid.add_row(*(Text(cleaned(words)) for words in row))
        console.print(Text(title, "bold"))
        console.print(grid)
        console.print()
    if not found:
        console.print(Text(f"no finished run below {folder}", "dim"))


def _cells(one: dict[str, Any]) -> str:
    if "problem" in one:
        return ""
    return f"{one['cells']}, {one['failed']} failed" if one["failed"] else str(one["cells"])
