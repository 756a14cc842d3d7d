"""linkbench schema: JSON Schema of the scenario file, the installed plugins' parameters included."""

from __future__ import annotations

import json

import click

from linkbench.cli.options import examples


@examples("linkbench schema > scenario.schema.json")
@click.command("schema")
def command() -> None:
    """Print the JSON Schema of scenario files, for completion and checks in editors."""
    from linkbench.scenario.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
