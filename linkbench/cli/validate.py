"""linkbench validate: every problem of a scenario file at once."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples, most_cells, overrides, scenario_file


@examples("linkbench validate scenarios/quickstart.yaml")
@click.command("validate")
@scenario_file
@overrides
@most_cells
def command(scenario: Path, overrides: tuple[str, ...], most_cells: int) -> None:
    """Check a scenario file without running it."""
    from linkbench.plan.make import make_plan
    from linkbench.scenario.load import load_scenario

    plan = make_plan(load_scenario(scenario, overrides, most_cells))
    click.echo(f"{scenario}: good. {len(plan.cells)} cells, {len(plan.steps)} stages.")
