"""Paired differences from photos without a defence, as a forest plot: what the conclusions rest on."""

from __future__ import annotations

from linkbench.report import names, summary
from linkbench.report.figures.base import Panel, Section
from linkbench.report.figures.vega import Axis, Record, forest, short
from linkbench.results.cells import cleaned, grouped
from linkbench.results.verdicts import Setting

SAID = {"less": "fewer linked", "more": "more linked", "open": "cannot be told apart", None: "not played"}


def differences(settings: list[Setting]) -> Section | None:
    """A row for each defence, with the tests against none and against noise of its budget."""
    chosen = [one for one in summary.headline(settings) if any(finding.change for finding in one.findings)]
    if not chosen:
        return None
    question = chosen[0].question
    x = Axis("change of photos linked")
    panels = []
    same_places = grouped(chosen, lambda one: (one.place["cohort"], one.place["genomes"]))
    for same in same_places:
        rows: list[Record] = []
        for setting in same:
            for finding in setting.findings:
                if finding.change is None:
                    continue
                change = finding.change
                rows.append(
                    {
                        "row": names.of(finding.protection), "name": "",
                        "value": short(change.value), "low": short(change.low), "high": short(change.high),
                        "verdict": finding.against_none,
                        "against none": SAID[finding.against_none], "against noise": SAID[finding.against_noise],
                        "attacker": cleaned(finding.attacker), "channel": cleaned(setting.place["channel"]),
                    }
                )  # fmt: skip
        means: dict[str, list[float]] = {}
        for row in rows:
            means.setdefault(row["row"], []).append(row["value"])
        order = sorted(means, key=lambda name: sum(means[name]) / len(means[name]))
        title = " · ".join(cleaned(part) for part in (same[0].place["cohort"], same[0].place["genomes"]) if part)
        view = forest(order, x, ("against none", "against noise", "attacker"))
        panels.append(Panel(title if len(same_places) > 1 else "", view, rows))
    return Section(
        "differences",
        "What each defence takes away",
        f"Success@{question.k} in a population of {question.n} less that without a defence, over the same people, each "
        "time against the strongest attacker that was met, with {level} intervals. Filled: a paired test, corrected "
        "for all defences (Holm), tells it from none; hollow: cannot be told apart. The tests were asked this one "
        "question, so k and n do not move this figure.",
        [],
        panels,
        shared=False,
    )
