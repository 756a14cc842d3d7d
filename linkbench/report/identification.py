"""The report of an identification: who is recognised all the same, by rank, by claims, and what protection costs."""

from __future__ import annotations

from collections.abc import Iterable

from linkbench.report import chart, defences, figures, numbers, summary
from linkbench.report.chart import Series
from linkbench.report.defences import Matrices, Matrix
from linkbench.report.figures import CHANCE, Choice, Key, Panel, Section, colours, panels_of
from linkbench.report.material import Material, TaskReport
from linkbench.report.scale import thin
from linkbench.results.cells import MeasuredCell, Value, coordinates, grouped, short, undefended

RATE = "protection_rate"
PANEL = ("cohort", "model", "channel", "attacker")
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
            defended.setdefault(_defence(cell), []).append(cell)
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
    axes = ("cohort", "model", "channel")
    titles = figures.panel_titles(measured, axes)
    tables = []
    for group in grouped(measured, lambda cell: coordinates(cell, axes)):
        names = list(dict.fromkeys(cell.attacker for cell in group))
        rows = []
        for same in grouped(group, lambda cell: (cell.defender, cell.epsilon)):
            found = {cell.attacker: defences.square(cell.metrics[RATE], 1.0) for cell in same}
            rows.append((_defence(same[0]), [found.get(name) for name in names]))
        tables.append(Matrix(titles[coordinates(group[0], axes)], names, rows))
    plain = next((f" Compare with the row {_defence(cell)}." for cell in measured if cell.facts.undefended), "")
    text = (
        f"How often the first name for an unchanged probe is wrong, of the people who use the tool, with "
        f"{material.level} intervals. The stronger the colour, the better the protection.{plain}"
    )
    return [Matrices("Protection rate: defenders against identifiers", text, tables)]


def _looks(material: Material) -> dict[str, str]:
    """The same defences have the same colours in all figures."""
    names = list(dict.fromkeys(_defence(cell) for cell in material.cells))
    return colours(names, {_defence(cell): "truth" for cell in material.cells if cell.facts.undefended})


def _cmc(material: Material) -> Iterable[Section | None]:
    ids, cells, files, looks = material.ids, material.cells, material.files, _looks(material)
    known = [cell for cell in cells if cell.ids[0] in files and files[cell.ids[0]].cmc]
    if not known:
        return
    panels, note = panels_of(known, PANEL)
    drawn = []
    for title, group in panels:
        most = max(len(files[cell.ids[0]].cmc) for cell in group)
        series = [
            Series("chance", CHANCE, _points([k / most for k in range(1, most + 1)])),  # no straight line on a log axis
            *(Series(_defence(cell), looks[_defence(cell)], _points(files[cell.ids[0]].cmc)) for cell in group),
        ]
        name = "share of probes with the right person among the k first" + (f", {title}" if title else "")
        axis = chart.count_axis(list(range(1, most + 1)), "names that count, k")
        drawn.append(Panel(title, chart.lines(ids, name, series, axis, "right person among the k first", top=1.0)))
    keys = [*(Key(css, name) for name, css in looks.items()), Key(CHANCE, "chance")]
    text = (
        "Cumulative match: how often the right person is among the k first names that the identifier gives, in the "
        "whole gallery."
    )
    yield Section("cmc", "Recognised at rank k", text, keys, "", [Choice("", drawn)], note)


def _points(shares: list[float]) -> list[tuple[float, Value]]:
    kept = thin(len(shares), figures.POINTS, [float(k) for k in range(len(shares))])
    return [(float(k + 1), Value(shares[k], shares[k], shares[k])) for k in kept]


def _claims(material: Material) -> Iterable[Section | None]:
    ids, cells, files, looks = material.ids, material.cells, material.files, _looks(material)
    known = [cell for cell in cells if cell.ids[0] in files and files[cell.ids[0]].roc.get("score")]
    if not known:
        return
    panels, note = panels_of(known, PANEL)
    drawn = []
    for title, group in panels:
        series = []
        for cell in group:
            points = [(x, Value(y, y, y)) for x, y in files[cell.ids[0]].roc["score"]]
            area = cell.metrics.get("auc_score")
            name = _defence(cell)
            series.append((Series(name, looks[name], points), area.value if area else None))
        heading = "ROC curves of verification" + (f", {title}" if title else "")
        drawn.append(Panel(title, chart.roc(ids, heading, series, found="true pairs claimed")))
    text = (
        "Verification: the attacker says of every pair of probe and person whether they belong together, by one "
        "threshold on the score, and trades true claims against false ones."
    )
    keys = [Key(css, name) for name, css in looks.items()]
    yield Section("roc", "Claims right and wrong", text, keys, "", [Choice("", drawn)], note)


def _quality(material: Material) -> Iterable[Section | None]:
    yield defences.quality(material.ids, material.cells, material.parts)


def _defence(cell: MeasuredCell) -> str:
    """A defender with its budget where that tells it from others of the name."""
    name = short([cell.defender])[cell.defender]
    return name if cell.epsilon is None else f"{name}, ε {numbers.epsilon(cell.epsilon)}"


FIGURES = (_cmc, _claims, _quality)
"""In reading order."""

REPORT = TaskReport(
    done="identified",
    counted="{photos} probes of {people} people, {population} people in the gallery",
    method=METHOD,
    sentences=_sentences,
    matrices=_matrices,
    figures=FIGURES,
)
