"""The report of an identification: who is recognised all the same, by rank, by claims, and what protection costs."""

from __future__ import annotations

from linkbench.report import matrices, names, numbers, summary
from linkbench.report.figures import defences, differences, roc
from linkbench.report.figures.base import (
    CHANCE,
    GUESSING,
    Panel,
    Section,
    defence_colours,
    keys_of,
    panels_of,
)
from linkbench.report.figures.curves import POINTS
from linkbench.report.figures.vega import Axis, Record, lines, short
from linkbench.report.material import Figure, Material, TaskReport
from linkbench.report.matrices import Matrices
from linkbench.report.thinning import thin
from linkbench.results.cells import MeasuredCell, undefended

RATE = "protection_rate"
PANEL = ("cohort", "model", "attacker")
"""One panel for each identifier with each model; its lines are the defenders."""

METHOD = (
    "The photos of the people who are identified are divided: some stand in the gallery, with names, protected and "
    "posted; the others are probes and stay as they are. The networks were trained on other people. For each probe the "
    "identifier scores everybody in the gallery; the protection rate is the share of probes whose first name is wrong, "
    "ties broken at random, over those who use the tool. Success in a smaller gallery is the exact expectation over "
    "all random galleries that hold the right person. A claim is a pair of probe and person; by score, one "
    "threshold holds for all pairs. Changes are measured in the published gallery photos."
)


def _sentences(material: Material) -> list[str]:
    """Who is recognised without a defence, how far each defence protects, and which are told apart."""
    cells, level = material.cells, material.level
    plain = [cell for cell in undefended(cells) if RATE in cell.metrics]
    if not plain:
        return []
    best = min(plain, key=lambda cell: cell.metrics[RATE].value)
    wrong = best.metrics[RATE]
    out = [
        f"Without a defence the strongest attack ({best.attacker}, model {best.model}) names the right person first "
        f"for {numbers.percent(1 - wrong.value)} of the probes ({level} interval "
        f"{numbers.percent_range(1 - wrong.high, 1 - wrong.low)})."
    ]
    defended: dict[str, list[MeasuredCell]] = {}
    for cell in cells:
        if not cell.facts.undefended and RATE in cell.metrics:
            defended.setdefault(names.of_cell(cell), []).append(cell)
    for name, met in defended.items():
        low, high = (pick(met, key=lambda cell: cell.metrics[RATE].value) for pick in (min, max))
        out.append(
            f"{name}: protection rate {numbers.percent(high.metrics[RATE].value)} at best ({high.attacker}, model "
            f"{high.model})"
            + (
                f", {numbers.percent(low.metrics[RATE].value)} at worst ({low.attacker}, model {low.model})."
                if len(met) > 1
                else "."
            )
        )
    return [*out, *summary.comparisons(material.results.conclusions())]


def _matrices(material: Material) -> list[Matrices]:
    """Protection rates of defenders against identifiers, a table for each model."""
    measured = [cell for cell in material.cells if RATE in cell.metrics]
    if not measured:
        return []
    tables = matrices.by_attacker(
        measured, ("cohort", "model", "channel"), lambda cell: matrices.square(cell.metrics[RATE], 1.0)
    )
    plain = next((f" Compare with the row {names.of_cell(cell)}." for cell in measured if cell.facts.undefended), "")
    text = (
        f"How often the first name for an unchanged probe is wrong, of the people who use the tool, with "
        f"{material.level} intervals. The stronger the colour, the more names are wrong.{plain}"
    )
    return [Matrices("Protection rate: defenders against identifiers", text, tables)]


def _looks(material: Material) -> dict[str, str]:
    """The same defences have the same colours in all figures."""
    return defence_colours(material.cells)


def _cmc(material: Material) -> Section | None:
    cells, files = material.cells, material.files
    known = [cell for cell in cells if cell.ids[0] in files and files[cell.ids[0]].cmc]
    if not known:
        return None
    looks = {**_looks(material), GUESSING: CHANCE}
    panels, note = panels_of(known, PANEL)
    drawn = []
    for title, group in panels:
        most = max(len(files[cell.ids[0]].cmc) for cell in group)
        rows = _points(GUESSING, [k / most for k in range(1, most + 1)])  # no straight line on a log axis
        for cell in group:
            rows += _points(names.of_cell(cell), files[cell.ids[0]].cmc, channel=cell.channel)
        x = Axis("names that count, k", "count", None, log=most >= 20)
        drawn.append(
            Panel(
                title,
                lines(looks, x, Axis("right person among the k first", ends=(0.0, 1.0)), whole=True, bands=False),
                rows,
            )
        )
    text = (
        "Cumulative match: how often the right person is among the k first names that the identifier gives, in the "
        "whole gallery."
    )
    return Section("cmc", "Recognised at rank k", text, keys_of(looks, looks), drawn, note=note, shared=False)


def _points(name: str, shares: list[float], **more: str) -> list[Record]:
    kept = thin(len(shares), POINTS, [float(k) for k in range(len(shares))])
    return [{"name": name, "x": k + 1, "value": short(shares[k]), **more} for k in kept]


def _claims(material: Material) -> Section | None:
    files = material.files
    known = [cell for cell in material.cells if cell.ids[0] in files and files[cell.ids[0]].roc.get("score")]
    if not known:
        return None
    text = (
        "Verification: the attacker says of every pair of probe and person whether they belong together, by one "
        "threshold on the score, and trades true claims against false ones."
    )
    return roc.section(known, files, _looks(material), names.of_cell, PANEL, text, "true pairs claimed", ["score"])


FIGURES: tuple[Figure, ...] = (
    lambda run: [differences.differences(run.results.conclusions())],
    lambda run: [_cmc(run)],
    lambda run: [_claims(run)],
    lambda run: [defences.visibility(run.cells, run.parts)],
)
"""In reading order."""

REPORT = TaskReport(
    done="identified",
    counted="{photos} probes of {people} people, {population} people in the gallery",
    method=METHOD,
    sentences=_sentences,
    matrices=_matrices,
    figures=FIGURES,
)
