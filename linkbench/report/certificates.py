"""What no change can take from an attacker whose predictor votes, and what the attacks of the run take."""

from __future__ import annotations

from collections.abc import Callable

from linkbench.report import chart, scale
from linkbench.report.chart import Axis, Series
from linkbench.report.defences import chosen_size
from linkbench.report.figures import CHANCE, Choice, Key, Panel, Section, colours, panels_of, reference
from linkbench.report.svg import Ids
from linkbench.results.cells import MeasuredCell, Value, grouped, top_k

AXES = ("cohort", "genomes", "model", "poison", "channel", "attacker")
PREFIX = "certified_success:"
LINE = "certified"


def by_length(ids: Ids, cells: list[MeasuredCell]) -> Section | None:
    """success@k against the 2-norm of a change: the certificate, and every defence that was played."""
    n = chosen_size(cells)
    voting = {(cell.model, cell.attacker) for cell in cells if any(name.startswith(PREFIX) for name in cell.metrics)}
    own = [cell for cell in cells if (cell.model, cell.attacker) in voting]
    if n is None or not own:
        return None
    k = top_k(own)[0]
    own = [cell for cell in own if cell.at(k, n)]
    defences = dict.fromkeys(cell.defender for cell in own if not cell.facts.undefended)
    looks = colours([LINE, *defences], {LINE: "truth"})
    panels, note = panels_of(own, AXES)
    top = min(1.0, scale.nice_top(max(value.high for cell in own if (value := cell.at(k, n))), 6))
    drawn = []
    for title, group in panels:
        lines = _lines(group, k, n, looks)
        longest = max(at for series in lines for at, _ in series.points)
        guess = reference(k, n)
        series = [Series("chance", CHANCE, [(0.0, guess), (longest, guess)]), *lines]
        name = f"success@{k} in a population of {n} against the length of a change" + (f", {title}" if title else "")
        axis, label = _length_axis(longest), f"success@{k}, n = {n}"
        drawn.append(Panel(title, chart.lines(ids, name, series, axis, label, top=top, marks=True)))
    return Section(
        "certificates",
        "What no small change can take",
        f"The predictor votes over noisy copies of each photo, so its answer cannot be turned by a change of small "
        f"2-norm, whoever makes it. {LINE.capitalize()}: the success that is left in a population of {n} under any "
        "change of that length (proven photo by photo; each proof may be wrong with probability 0.001). The other "
        "marks are what defences took, at the mean length of what they changed. An attack below its certificate "
        "would be an error of linkbench.",
        [*(Key(looks[name], name) for name in (LINE, *defences)), Key(CHANCE, "chance")],
        "",
        [Choice("", drawn)],
        note,
    )


def _lines(cells: list[MeasuredCell], k: int, n: int, looks: dict[str, str]) -> list[Series]:
    """The certificate, and a line for each defence through its budgets."""
    certified: list[tuple[float, Value]] = []
    for cell in cells:
        for name, value in cell.metrics.items():
            metric, _, place = name.partition("@")
            if metric.startswith(PREFIX) and place == f"{k},{n}":
                certified.append((float(metric.removeprefix(PREFIX)), value))
    out = [Series(LINE, looks[LINE], sorted(certified))] if certified else []
    for same in grouped([cell for cell in cells if not cell.facts.undefended], lambda cell: cell.defender):
        points = [
            (length.value, reached)
            for cell in same
            if (reached := cell.at(k, n)) and (length := cell.metrics.get("l2")) is not None
        ]
        if points:
            out.append(Series(same[0].defender, looks[same[0].defender], sorted(points)))
    return out


def _length_axis(longest: float) -> Callable[[float, float], Axis]:
    def axis(start: float, end: float) -> Axis:
        marks = scale.ticks(0.0, longest)
        return Axis(scale.linear(0.0, longest, start, end), marks, "2-norm of the change of a photo", "plain")

    return axis
