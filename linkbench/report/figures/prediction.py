"""What a face gives away: accuracy of the predictor, phenotype by phenotype."""

from __future__ import annotations

from linkbench.report.figures.base import PANEL_AXES, Key, Panel, Section, panels_of
from linkbench.report.figures.vega import Axis, Record, record, rows
from linkbench.results.cells import MeasuredCell, grouped, undefended

LOOKS = {"accuracy": "s1", "balanced accuracy": "s2"}


def accuracy(cells: list[MeasuredCell], variants: dict[str, int]) -> Section | None:
    """Accuracy and balanced accuracy on photos without a defence, with chance where it is known.

    variants: how many each phenotype has.
    """
    known = [cell for cell in undefended(cells) if any(name.startswith("accuracy:") for name in cell.metrics)]
    if not known:
        return None
    # attackers share the predictor's output, and genomes often do: equal numbers are shown once
    seen = grouped(
        known, lambda cell: (cell.channel, *sorted((n, v) for n, v in cell.metrics.items() if "accuracy:" in n))
    )
    panels, note = panels_of([group[0] for group in seen], PANEL_AXES)
    drawn = []
    for title, group in panels:
        found: list[Record] = []
        for cell in {cell.channel: cell for cell in group}.values():
            for metric, value in cell.metrics.items():
                kind, _, phenotype = metric.partition(":")
                name = kind.replace("_", " ")
                if name in LOOKS:
                    guess = {"guess": 1.0 / variants[phenotype]} if phenotype in variants else {}
                    found.append({**record(name, 0.0, value, channel=cell.channel), "row": phenotype, **guess})
        order = list(dict.fromkeys(row["row"] for row in found))
        axis = Axis("share of photos predicted right", ends=(0.0, 1.0))
        drawn.append(Panel(title, rows(order, LOOKS, axis, chance=bool(variants)), found))
    keys = [Key("s1", "accuracy"), Key("s2", "balanced accuracy")]
    return Section(
        "face",
        "What can be read from a face",
        "How often the most likely predicted variant of a phenotype is the true one, over the photos whose label is "
        "known; balanced: every variant weighs the same. Linkage rests on nothing else."
        + (" Grey: chance, 1 / number of variants." if variants else ""),
        keys,
        drawn,
        note=note,
        shared=False,
    )
