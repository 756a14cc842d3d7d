"""linkbench validate: every problem of a scenario file at once."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples, most_cells, overrides, scenario_file


@examples("linkbench validate scenarios/quickstart.yaml", "linkbench validate quickstart")
@click.command("validate")
@scenario_file
@overrides
@most_cells
def command(scenario: Path, overrides: tuple[str, ...], most_cells: int) -> int:
    """Check a scenario file without running it, and whether everything that it needs is here.

    The exit status is 2 where the file is at fault, and 1 where packages, photos or weights are missing here.
    """
    from linkbench.execution.preflight import missing
    from linkbench.plan.make import make_plan
    from linkbench.scenario.load import load_scenario

    parsed = load_scenario(scenario, overrides, most_cells)
    plan = make_plan(parsed)
    click.echo(f"{scenario}: good. {len(plan.cells)} cells, {len(plan.steps)} stages.")
    lacking = missing(parsed)
    for what in lacking:
        click.echo(f"missing here: {what}", err=True)
    return 1 if lacking else 0
