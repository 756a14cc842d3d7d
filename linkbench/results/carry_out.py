"""From a scenario to its results: what the command, `linkbench.run` and a repeated entry of a leaderboard do alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from linkbench.api.cores import one_blas_thread
from linkbench.errors import InputError
from linkbench.execution.records import Watcher
from linkbench.execution.run import Run
from linkbench.results import folder as files
from linkbench.results.conclusions import Reached
from linkbench.results.results import Results
from linkbench.results.writing import write
from linkbench.scenario.file import Scenario

Page = Callable[[Results, Path], str]
"""Makes the page of a results folder whose other files stand."""


def carry_out(
    scenario: Scenario,
    run: Run,
    watching: AbstractContextManager[Watcher | None],
    out: Path | None = None,
    page: Page | None = None,
) -> Results:
    """Execute the run of a scenario's plan and collect what it measured; with `out`, write that into a results folder.

    Raises InputError where the folder cannot be written, or the user's files are at fault in every cell.
    """
    if out is not None:
        files.check_folder(out)
    with one_blas_thread():
        with watching as watcher:
            outcome = run.execute(watcher)
        previous = {} if out is None else files.previous_run(out)
        counted = Reached(lambda cell: outcome.cells[cell]["rank"])
        results = Results(
            files.collect(run.plan, outcome, counted),
            files.describe(scenario, run.plan, outcome, run.device, previous, counted),
            counted.ranks,
        )
        if out is not None:
            try:
                write(out, results, outcome, lambda where: "" if page is None else page(results, where))
            except OSError as error:  # a full disk, say
                raise InputError(
                    f"{out} cannot be written: {error.strerror or error}. Finished stages are kept: run it again with "
                    f"another folder (--out FOLDER), and only the results are written"
                ) from error
    return results
