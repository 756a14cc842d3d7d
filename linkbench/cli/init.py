"""linkbench init: a scenario of one's own to start from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from linkbench.cli.options import examples

SCHEMA = "linkbench.schema.json"
"""The file that editors check and complete scenarios by."""


@examples("linkbench init", "linkbench init paper-fig2 --out mine.yaml")
@click.command("init")
@click.argument("scenario", default="quickstart", metavar="NAME")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: NAME.yaml]")
def command(scenario: str, out: Path | None) -> None:
    """Write a scenario to start from into this folder, and the schema by which editors check it.

    NAME is a scenario that comes with the toolkit, see 'linkbench list'; quickstart by default. Nothing is overwritten
    but the schema.
    """
    from linkbench.errors import InputError
    from linkbench.results.folder import write_text
    from linkbench.scenario.json_schema import json_schema
    from linkbench.scenario.shipped import find, names

    source = find(scenario)
    if source is None:
        raise InputError(f"there is no scenario {scenario!r}; there are: {', '.join(names()) or 'none'}")
    target = out or Path(f"{scenario}.yaml")
    if target.exists():
        raise InputError(f"{target} exists; choose another file with --out")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target.parent} is no folder; make it, or choose another file with --out")
    schema = target.with_name(SCHEMA)
    write_text(schema, json.dumps(json_schema(), indent=1) + "\n")
    write_text(target, f"# yaml-language-server: $schema={SCHEMA}\n{source.read_text(encoding='utf-8')}")
    click.echo(f"{target}: edit it, then: linkbench run {target}")
