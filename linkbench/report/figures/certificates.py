"""What no change can take from an attacker whose predictor votes, and what the attacks of the run take."""

from __future__ import annotations

from linkbench.report.figures.base import (
    CHANCE,
    GUESSING,
    Panel,
    Section,
    colours,
    guesses,
    keys_of,
    panels_of,
    successes,
    switched_sizes,
)
from linkbench.report.figures.vega import Axis, Record, lines, record
from linkbench.results.cells import MeasuredCell, in_populations

AXES = ("cohort", "genomes", "model", "poison", "attacker")
PREFIX = "certified_success:"
LINE = "certified"


def by_length(cells: list[MeasuredCell]) -> Section | None:
    """success@k against the 2-norm of a change: the certificate, and every defence that was played."""
    voting = {(cell.model, cell.attacker) for cell in cells if any(name.startswith(PREFIX) for name in cell.metrics)}
    own = [cell for cell in cells if (cell.model, cell.attacker) in voting and cell.success]
    sizes = switched_sizes(own)
    if not sizes:
        return None
    defences = dict.fromkeys(cell.defender for cell in own if not cell.facts.undefended)
    looks = {**colours([LINE, *defences], {LINE: "truth"}), GUESSING: CHANCE}
    panels, note = panels_of(own, AXES)
    drawn = []
    for title, group in panels:
        rows = _rows(group, sizes)
        longest = max((row["x"] for row in rows), default=0.0)
        rows += guesses(group, sizes, (0.0, longest))
        axis = Axis("2-norm of the change of a photo", "plain")
        drawn.append(Panel(title, lines(looks, axis, Axis("success@k")), rows))
    return Section(
        "certificates",
        "What no small change can take",
        f"The predictor votes over noisy copies of each photo, so its answer cannot be turned by a change of small "
        f"2-norm, whoever makes it. {LINE.capitalize()}: the success that is left under any "
        "change of that length (proven photo by photo; each proof may be wrong with probability 0.001). The other "
        "marks are what defences took, at the mean length of what they changed. An attack below its certificate "
        "would be an error of linkbench.",
        keys_of(looks, looks),
        drawn,
        note=note,
        folded=True,
    )


def _rows(cells: list[MeasuredCell], sizes: list[int]) -> list[Record]:
    """The certificate, and a line for each defence through its budgets."""
    out: list[Record] = []
    for cell in cells:
        for length, k, n, proven in in_populations(cell, PREFIX):
            if n in sizes:
                out.append(record(LINE, float(length), proven, channel=cell.channel, k=k, n=n))
        far = cell.metrics.get("l2")
        if far is not None and not cell.facts.undefended:
            out += successes(cell, sizes, cell.defender, far.value)
    return sorted(out, key=lambda row: row["x"])
