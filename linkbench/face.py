"""Scenarios from Python: what `linkbench run` and `linkbench report` do, for scripts and notebooks.

Mistakes of the user raise a `LinkbenchError` whose text says what is wrong and how to mend it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from linkbench.api.base import Executor
    from linkbench.execution.records import Watcher
    from linkbench.models.predictor import Predictor
    from linkbench.results.results import Results
    from linkbench.risk.assess import Risk
    from linkbench.risk.person import Ancestry
    from linkbench.scenario.file import Scenario


def load_scenario(source: str | Path | Mapping[str, Any], *changes: str) -> Scenario:
    """A scenario from a file, from its text (of several lines) or from a mapping, every part of it checked.

    changes: as of `linkbench run --set`, such as "measure.resamples=200". Nothing is computed.
    Raises ScenarioError with every problem at once.
    """
    from linkbench.scenario import load
    from linkbench.scenario.yaml import document_of, parse_yaml, read_yaml

    if isinstance(source, Mapping):
        document = document_of("scenario", source)
    elif isinstance(source, str) and "\n" in source:
        document = parse_yaml("scenario", source)
    else:
        document = read_yaml(Path(source))
    return load.parse_scenario(document, changes)


def run(
    scenario: Scenario | str | Path | Mapping[str, Any],
    *,
    store: str | Path | None = None,
    device: str = "cpu",
    progress: bool | Watcher = False,
    limit: float | None = None,
    executor: str | Mapping[str, Any] | Executor = "local",
    workers: int | Literal["auto"] | None = None,
    out: str | Path | None = None,
) -> Results:
    """Run a scenario, or what `load_scenario` makes one of, and return what was measured.

    store: the folder or address of finished stages, by default the one that the command uses; device: `cpu`, `cuda` or
    `cuda:N`; progress: True to see it on standard error, or a watcher of your own; limit: the most seconds that a stage
    may take; out: a results folder to write as `linkbench run --out` does, else nothing is written but the store.

    A stage that fails takes only the cells behind it, see `Results.failed`. Raises ScenarioError, InputError (the
    device, a file of the user's), StoreError and MissingExtraError.
    """
    from linkbench.execution.choice import chosen
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.run import Run
    from linkbench.execution.watch import watcher
    from linkbench.plan.make import make_plan
    from linkbench.results.carry_out import carry_out
    from linkbench.scenario.file import Scenario
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    parsed = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
    check_device(device)
    if parsed.models:
        check_torch()
    plan = make_plan(parsed)
    where = Store(default_address() if store is None else store)
    work = Run(plan, where, device, limit, executor=chosen(executor, workers))
    if progress is True:
        return carry_out(parsed, work, watcher(len(plan.steps)), _folder(out), page)
    return carry_out(parsed, work, contextlib.nullcontext(progress or None), _folder(out), page)


def _folder(out: str | Path | None) -> Path | None:
    return None if out is None else Path(out)


def load_results(folder: str | Path) -> Results:
    """The results of an earlier run from its folder. Raises InputError where there are none."""
    from linkbench.results import folder as files

    return files.read(Path(folder))


def load_predictor(predictor: str | Path, device: str = "cpu") -> Predictor:
    """A predictor by a name of `linkbench predictor list`, or from its file: a module, frozen, in evaluation mode.

    It takes aligned faces, float [n, 3, size, size] in [0, 1], and gives log-probabilities [n, V], columns as in its
    `schema`. Raises WeightsError.
    """
    from linkbench.models.predictor import check_predictor
    from linkbench.models.predictor_files import locate, read

    path = locate(Path(predictor))
    return check_predictor(read(path), str(path)).to(device)


def assess_risk(
    *photos: str | Path,
    genotype: str | Path | None = None,
    phenotypes: Mapping[str, str] | None = None,
    predictors: Sequence[str | Path] = (),
    ancestry: Ancestry = "ALL",
    people: int = 1_000_000,
    seed: int = 0,
    aligned: bool = False,
    device: str = "cpu",
) -> Risk:
    """What photos of one person give away, and how far the genome is found by them.

    The largest face of each photo is found and cut out; aligned: the photos are such cut faces already.

    genotype: a file of 23andMe, AncestryDNA, MyHeritage, FamilyTreeDNA or VCF; without one the risk is the mean over
    genomes that fit `phenotypes`, such as {"sex": "female"}, and what is read from the photos; predictors: names or
    files, by default those that come with linkbench; people, ancestry: the simulated pile. Raises InputError.
    """
    from linkbench.genomes.genotype_files import reader
    from linkbench.risk.assess import assess

    return assess(
        [Path(photo) for photo in photos],
        genotype=None if genotype is None else reader.read(Path(genotype)),
        phenotypes=phenotypes,
        predictors=predictors,
        ancestry=ancestry,
        people=people,
        seed=seed,
        aligned=aligned,
        device=device,
    )


def page(results: Results, folder: Path) -> str:
    """The page of a results folder, HTML."""
    from linkbench.report import page as report  # costs time that only those who need a page should spend

    return report.render(results, folder)
