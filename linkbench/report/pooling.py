"""Several photos of a person: what the second and the eighth add to the first, protected or leaked."""

from __future__ import annotations

from typing import Any

from linkbench.report import chart, numbers, scale
from linkbench.report.chart import Series
from linkbench.report.figures import CHANCE, Choice, Key, Panel, Section, colours, panels_of, reference
from linkbench.report.svg import Ids
from linkbench.results.cells import MeasuredCell, cleaned, grouped, nearest, sizes, top_k

AXES = ("cohort", "genomes", "model", "poison", "channel")


def by_photos(ids: Ids, cells: list[MeasuredCell], run: dict[str, Any]) -> Section | None:
    """success@k against the photos of a person that are looked at together; a line for each defence and leak."""
    specs = run.get("scenario", {}).get("attackers") or []
    params = {cleaned(spec["label"]): spec["params"] for spec in specs if "pool" in spec.get("params", ())}
    own = [cell for cell in cells if cell.attacker in params]
    n = nearest(sizes(own), 100)
    photos = sorted({int(params[cell.attacker]["pool"]) for cell in own})
    if n is None or len(photos) < 2:
        return None
    k = top_k(own)[0]

    def line(cell: MeasuredCell) -> str:
        """What a line is about: the defence and all but the number of photos."""
        told = {name: value for name, value in params[cell.attacker].items() if name != "pool"}
        varied = [name for name in told if len({str(other.get(name)) for other in params.values()}) > 1]
        budget = [] if cell.epsilon is None else [f"ε {numbers.epsilon(cell.epsilon)}"]
        words = [f"{name} {told[name]:g}" if isinstance(told[name], float) else f"{name} {told[name]}"
                 for name in varied]  # fmt: skip
        return ", ".join([cell.defender, *budget, *words])

    lines: dict[str, list[MeasuredCell]] = {}
    for same in grouped([cell for cell in own if cell.at(k, n)], line):
        if len({params[cell.attacker]["pool"] for cell in same}) > 1:
            lines[line(same[0])] = same
    if not lines:
        return None
    looks = colours(list(lines))
    shown = [cell for same in lines.values() for cell in same]
    panels, note = panels_of(shown, AXES)
    top = min(1.0, scale.nice_top(max(cell.success[k][n].high for cell in shown), 6))
    guess, axis = reference(k, n), chart.count_axis(photos, "photos of a person, looked at together")
    drawn = []
    for title, group in panels:
        series = [Series("chance", CHANCE, [(photos[0], guess), (photos[-1], guess)])]
        for same in grouped(group, line):
            points = sorted((float(params[cell.attacker]["pool"]), cell.success[k][n]) for cell in same)
            series.append(Series(line(same[0]), looks[line(same[0])], points))
        name = f"success@{k} against the photos of a person" + (f", {title}" if title else "")
        drawn.append(Panel(title, chart.lines(ids, name, series, axis, f"success@{k}, n = {n}", top=top, marks=True)))
    return Section(
        "pooling",
        "Several photos of a person",
        f"Success in a population of {n} of an attacker who has so many photos of each person and looks at them "
        "together. Of a part of them he may have the unprotected version (leaked).",
        [*(Key(looks[name], name) for name in lines), Key(CHANCE, "chance")],
        "",
        [Choice("", drawn)],
        note,
    )
