"""linkbench run: from a scenario file to tables and a report."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linkbench.cli.options import (
    examples,
    full_option,
    most_cells,
    overrides,
    read_params,
    scenario_file,
    store_address,
)
from linkbench.errors import LinkbenchError

if TYPE_CHECKING:
    from linkbench.execution.run import Run
    from linkbench.plan.builder import Plan
    from linkbench.scenario.file import Scenario


GIVEN_UP = "LINKBENCH_GIVEN_UP"
"""Environment variable in which a run that had to start again finds the ids of the stages that it leaves out."""


@examples(
    "linkbench run scenarios/paper-matching.yaml",
    "linkbench run scenarios/quickstart.yaml --dry-run",
    "linkbench run scenarios/quickstart.yaml --set measure.resamples=200",
    "linkbench run scenarios/quickstart.yaml --workers 4",
    "linkbench run scenarios/quickstart.yaml --json > events.jsonl",
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
@click.option("--executor", default="local", show_default=True, metavar="NAME", help="Who carries out the stages.")
@click.option(
    "--workers", metavar="N|auto", help="How many stages are carried out at once.  [default: auto, one for each core]"
)
@click.option("--address", metavar="HOST:PORT|auto", help="Where the executor finds a cluster that is there already.")
@click.option(
    "--with", "executor_params", multiple=True, metavar="KEY=VALUE",
    help="A parameter of the executor. May be repeated.",
)  # fmt: skip
@click.option(
    "--save-photos", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Write the published photos, protected or not, as PNG with their names into a new folder.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show stages and cells, what is cached, and how long the rest may take.")
@full_option
@click.option("--json", "as_json", is_flag=True, help="Print events, one JSON object a line, instead of tables.")
def command(
    scenario: Path,
    out: Path | None,
    store: str | None,
    device: str,
    overrides: tuple[str, ...],
    most_cells: int,
    limit: float | None,
    save_photos: Path | None,
    executor: str,
    workers: str | None,
    address: str | None,
    executor_params: tuple[str, ...],
    dry_run: bool,
    full: bool,
    as_json: bool,
) -> int:
    """Run a scenario: every attacker against every defender, tables and report into the results folder.

    Finished stages are kept; a run that was stopped goes on where it was. A stage that fails, or takes longer than the
    limit, spoils only the rows that need it: they are missing, the reason is said, and the exit status is 1.
    """
    if dry_run and as_json:
        raise click.UsageError("--json tells of a run, and --dry-run runs nothing; leave one of them out")
    if save_photos is not None and (dry_run or as_json):
        raise click.UsageError("--save-photos goes with neither --dry-run nor --json; run it once more with it alone")
    from linkbench.execution.choice import chosen
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.run import Run
    from linkbench.execution.watch import watcher
    from linkbench.face import page
    from linkbench.plan.make import make_plan
    from linkbench.scenario.load import load_scenario
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    check_device(device)
    carries_out = chosen({"use": executor, **_params(workers, address, executor_params)})
    parsed = load_scenario(scenario, overrides, most_cells)
    if parsed.models and not dry_run:
        check_torch()
    if save_photos is not None:
        from linkbench.results.photos import check_new

        check_new(save_photos)
    plan = make_plan(parsed)
    given_up = os.environ.pop(GIVEN_UP, "").split()
    run = Run(
        plan,
        Store(store or default_address()),
        device,
        limit,
        given_up,
        lambda step: _start_again([*given_up, step]),
        carries_out,
    )
    if dry_run:
        _show_plan(plan, run)
        return 0

    from linkbench.results.carry_out import carry_out
    from linkbench.results.writing import place

    folder = out or Path("results") / parsed.name
    if as_json:
        return _tell(parsed, run, folder)
    from linkbench.report import terminal

    results = carry_out(parsed, run, watcher(len(plan.steps)), folder, page)
    terminal.show(results, full=full)
    computed = sum(record.computed for record in run.records.values())
    click.echo(f"{len(run.records)} stages, {computed} computed, {len(run.records) - computed} from the store.")
    where = place(folder, results.run)
    if where != folder:
        click.echo(f"{folder} holds the whole results of an earlier run and keeps them; this run failed in part:")
    click.echo(f"table:  {where / 'results.csv'}\nreport: {where / 'report.html'}")
    if save_photos is not None:
        from linkbench.results import photos

        saved = photos.save_photos(results.run, run.store.read, save_photos)
        click.echo(f"photos: {saved.photos} in {saved.folders} folders, listed in {save_photos / 'index.csv'}")
    return 1 if run.failures else 0


def _tell(scenario: Scenario, run: Run, folder: Path) -> int:
    """The run as events; however it ends, the last of them says so."""
    from linkbench.execution.events import Events
    from linkbench.face import page
    from linkbench.results.carry_out import carry_out
    from linkbench.results.writing import place

    events = Events(len(run.plan.steps))
    try:
        results = carry_out(scenario, run, contextlib.nullcontext(events), folder, page)
    except LinkbenchError as error:
        events.conclude(error.exit_status, error=str(error))
        raise
    except KeyboardInterrupt:
        events.conclude(130, error="interrupted")
        raise
    status = 1 if run.failures else 0
    where = place(folder, results.run)
    failed = [failure._asdict() for failure in results.failed]
    events.conclude(
        status, error=None, cells=len(results.cells), failed=failed, table=str(where / "results.csv"),
        report=str(where / "report.html"),
    )  # fmt: skip
    return status


def _params(workers: str | None, address: str | None, others: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of the executor, as they were given."""
    params = read_params(others, "--with")
    if workers is not None:
        params["workers"] = int(workers) if workers.isdecimal() else workers
    return params if address is None else {**params, "address": address}


def _start_again(given_up: list[str]) -> None:
    """A stage hangs where nothing can interrupt it: take the place of this process and go on without that stage."""
    click.echo("A stage is over its limit and cannot be interrupted; the run goes on without it.", err=True)
    sys.stderr.flush()
    os.environ[GIVEN_UP] = " ".join(given_up)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _show_plan(plan: Plan, run: Run) -> None:
    from linkbench.execution.estimate import MOST, Past
    from linkbench.execution.records import step_label
    from linkbench.execution.running import duration
    from linkbench.store.upkeep import recent

    states = {True: "cached", False: "to compute", None: "to compute after its inputs"}
    found = run.look_up()
    past = Past(recent(run.store, MOST))
    seconds = {id_: past.estimate(step, run.device) for id_, step in plan.steps.items() if not found[id_]}
    for id_, step in plan.steps.items():
        likely = seconds.get(id_)
        about = "" if likely is None else f"about {duration(likely)}"
        click.echo(f"  {step.stage:<9} {states[found[id_]]:<28} {about:<18} {step_label(step)}")
    click.echo(
        f"{len(plan.steps)} stages, {sum(bool(state) for state in found.values())} cached; {len(plan.cells)} cells:"
    )
    for cell in plan.cells:
        place = " / ".join(str(value) for value in cell.coordinates().values() if value is not None)
        click.echo(f"  {cell.id}  {place}")
    known = [one for one in seconds.values() if one is not None]
    if known:
        click.echo(
            f"about {duration(sum(known))} of work for {len(known)} stages, judging by past stages of their kind"
        )
    if len(known) < len(seconds):
        click.echo(f"{len(seconds) - len(known)} stages to compute are of a kind that this store has not seen")
