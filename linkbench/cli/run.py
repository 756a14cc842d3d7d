"""linkbench run: from a scenario file to tables and a report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.options import examples, most_cells, overrides, scenario_file, store_address

if TYPE_CHECKING:
    from linkbench.execution.run import Run
    from linkbench.plan.builder import Plan


GIVEN_UP = "LINKBENCH_GIVEN_UP"
"""Environment variable in which a run that had to start again finds the ids of the stages that it leaves out."""


@examples(
    "linkbench run scenarios/paper-matching.yaml",
    "linkbench run scenarios/quickstart.yaml --dry-run",
    "linkbench run scenarios/quickstart.yaml --set measure.resamples=200",
)
@click.command("run")
@scenario_file
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Results folder.  [default: results/NAME]"
)
@store_address
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]", help="Where networks run.")
@overrides
@most_cells
@click.option(
    "--limit", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Longest time of one stage."
)
@click.option("--dry-run", is_flag=True, help="Show the stages and cells, and what is cached; compute nothing.")
def command(
    scenario: Path,
    out: Path | None,
    store: str | None,
    device: str,
    overrides: tuple[str, ...],
    most_cells: int,
    limit: float | None,
    dry_run: bool,
) -> int:
    """Run a scenario: every attacker against every defender, tables and report into the results folder.

    Finished stages are kept; a run that was stopped goes on where it was. A stage that fails, or takes longer than the
    limit, spoils only the rows that need it: they are missing, the reason is said, and the exit status is 1.
    """
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.run import Run
    from linkbench.execution.watch import watcher
    from linkbench.face import page
    from linkbench.plan.make import make_plan
    from linkbench.scenario.load import load_scenario
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    check_device(device)
    parsed = load_scenario(scenario, overrides, most_cells)
    if parsed.models and not dry_run:
        check_torch()
    plan = make_plan(parsed)
    given_up = os.environ.pop(GIVEN_UP, "").split()
    run = Run(
        plan, Store(store or default_address()), device, limit, given_up, lambda step: _start_again([*given_up, step])
    )
    if dry_run:
        _show_plan(plan, run)
        return 0

    from linkbench.report import terminal
    from linkbench.results.carry_out import carry_out
    from linkbench.results.writing import place

    folder = out or Path("results") / parsed.name
    results = carry_out(parsed, run, watcher(len(plan.steps)), folder, page)
    terminal.show(results)
    computed = sum(record.computed for record in run.records.values())
    click.echo(f"{len(run.records)} stages, {computed} computed, {len(run.records) - computed} from the store.")
    where = place(folder, results.run)
    if where != folder:
        click.echo(f"{folder} holds the whole results of an earlier run and keeps them; this run failed in part:")
    click.echo(f"table:  {where / 'results.csv'}\nreport: {where / 'report.html'}")
    return 1 if run.failures else 0


def _start_again(given_up: list[str]) -> None:
    """A stage hangs where nothing can interrupt it: take the place of this process and go on without that stage."""
    click.echo("A stage is over its limit and cannot be interrupted; the run goes on without it.", err=True)
    sys.stderr.flush()
    os.environ[GIVEN_UP] = " ".join(given_up)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _show_plan(plan: Plan, run: Run) -> None:
    from linkbench.execution.run import step_label

    states = {True: "cached", False: "to compute", None: "to compute after its inputs"}
    found = run.look_up()
    for id_, step in plan.steps.items():
        click.echo(f"  {step.stage:<9} {states[found[id_]]:<28} {step_label(step)}")
    click.echo(
        f"{len(plan.steps)} stages, {sum(bool(state) for state in found.values())} cached; {len(plan.cells)} cells:"
    )
    for cell in plan.cells:
        place = " / ".join(str(value) for value in cell.coordinates().values() if value is not None)
        click.echo(f"  {cell.id}  {place}")
