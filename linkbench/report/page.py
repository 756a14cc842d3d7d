"""One self-contained HTML page of a run: no network, no clock, no script needed to read it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.plan.facts import NOTHING
from linkbench.report import document, flags_text, later, numbers, png, poisons, ranks, tables, theorem
from linkbench.report.drawings import Drawings
from linkbench.report.figures.base import defaults
from linkbench.report.material import Material, TaskReport
from linkbench.results.cells import Failed, MeasuredCell, cleaned, facts_of, varying
from linkbench.results.folder import read_ranks
from linkbench.results.results import Results
from linkbench.scenario.tasks import TASKS, task_of

ASKED = {"channel": "posted as", "k": "candidates that count, k", "n": "population, n"}
"""What the switches of the page ask."""


class Fact(NamedTuple):
    """One line of the page's head."""

    name: str
    value: str


def render(results: Results, folder: Path) -> str:
    """The page of a results folder; rank files and examples are read from it where they are.

    The same inputs give the same bytes.
    """
    cells, failed = results.cells, results.failed
    scenario = results.run.get("scenario", {})
    strips, gain = png.strips(folder / "examples.safetensors")
    material = Material.of(results, partial(read_ranks, folder))
    report: TaskReport = TASKS[task_of(scenario)].load("report")
    drawings = Drawings(defaults(material.cells))
    sections = [(section, drawings.add(section)) for section in report.sections(material)]
    matrices, listed = report.matrices(material), tables.table(cells)
    poisoned = poisons.tables(material.cells, material.parts, results.run, material.trainings)
    claims = theorem.claims(cells)
    contents = [
        *((section.heading, section.id) for section, _ in sections if not section.folded),
        *((each.heading, each.id) for each in matrices),
        *((words, id_) for words, id_, there in (("Poisons against recipes", "poisons", poisoned),
                                                 ("Theorem", "theorem", claims), ("Examples", "examples", strips),
                                                 ("All cells", "table", True)) if there),
    ]  # fmt: skip
    return document.render(
        "linkbench.report",
        document.source("page.css"),
        drawings,
        name=cleaned(scenario.get("name", "linkbench run")),
        summary=report.sentences(material),
        facts=facts(results, cells, material.files, report),
        contents=contents,
        switches=drawings.switches(),
        asked=ASKED,
        first=drawings.first._asdict(),
        sections=sections,
        matrices=matrices,
        method=report.method,
        poisons=poisoned,
        claims=claims,
        claims_title=theorem.TITLE,
        strips=[strip._replace(defender=cleaned(strip.defender)) for strip in strips],
        gain=gain,
        percent=numbers.percent,
        table=listed,
        filters=tables.filters(listed),
        flags=flags_text.explain(sorted({flag for cell in cells for flag in cell.flags})),
        failed=_failures(failed),
        cell_count=len(cells) + len(failed),
        level=material.level,
        resamples=scenario.get("measure", {}).get("resamples"),
        seeds=len({cell.seed for cell in cells}),
        version=cleaned(results.run.get("versions", {}).get("linkbench", "")),
    )


def facts(
    results: Results, cells: list[MeasuredCell], files: dict[str, ranks.RankFile], report: TaskReport
) -> list[Fact]:
    """What was run, in a few lines."""
    run = results.run
    places = [cell.place for cell in cells] or [failed.place for failed in results.failed]
    known = [cell.facts for cell in cells] or list(facts_of(run).values())
    out = _played(places, [fact.plugins for fact in known])
    if later_models := later.later_models(cells, run):
        out.append(Fact("later model", "; ".join(later_models)))
    if files:
        counts = {
            name: _span([getattr(file, name) for file in files.values()]) for name in ("photos", "people", "population")
        }
        out.insert(0, Fact(report.done, report.counted.format(**counts)))
    seeds = sorted({place["seed"] for place in places if place["seed"] is not None})
    out.append(Fact("seeds" if len(seeds) > 1 else "seed", _listed([str(seed) for seed in seeds])))
    machine = " on ".join(cleaned(run[key]) for key in ("device", "machine") if run.get(key))
    versions = ", ".join(f"{cleaned(name)} {cleaned(value)}" for name, value in run.get("versions", {}).items())
    return [fact for fact in (*out, Fact("device", machine), Fact("versions", versions)) if fact.value]


def _played(places: list[dict[str, Any]], plugins: list[dict[str, str]]) -> list[Fact]:
    """Who and what took part; nothing of what is nowhere, or leaves all photos as they are."""
    out = []
    for name, plural in (("cohort", "cohorts"), ("genomes", "genomes"), ("model", "models"), ("defender", "defenders"),
                         ("channel", "channels"), ("attacker", "attackers")):  # fmt: skip
        values = list(dict.fromkeys(str(place[name]) for place in places))
        if values and not (plugins and all(own[name] in ("", NOTHING) for own in plugins)):
            out.append(Fact(plural if len(values) > 1 else name, _listed(values)))
    return out


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}{numbers.DASH}{high:,}"


def _listed(values: list[str], most: int = 12) -> str:
    return ", ".join(values[:most]) + (f" and {len(values) - most} more" if len(values) > most else "")


def _failures(failed: list[Failed]) -> list[tuple[str, str, str]]:
    """Where, at which stage and why, for every cell that failed."""
    axes = varying([each.place for each in failed]) or ["attacker"]
    return [(_where(each.place, axes), each.stage, each.reason) for each in failed]


def _where(place: dict[str, Any], axes: list[str]) -> str:
    words = [f"ε {numbers.epsilon(place[name])}" if name == "epsilon" else f"{name} {place[name]}" for name in axes
             if place[name] is not None]  # fmt: skip
    return ", ".join(words)
