"""ROC curves of linkage, by score and by k, where the ranks are at hand."""

from __future__ import annotations

from collections.abc import Callable

from linkbench.report.figures.base import PANEL_AXES, Choice, Panel, Section, keys_of, panels_of
from linkbench.report.figures.vega import Record, roc, short
from linkbench.report.ranks import RankFile
from linkbench.results.cells import MeasuredCell, undefended

KINDS = {"score": "a threshold on the score", "k": "a threshold on the rank: the k best"}


def points(name: str, curve: list[tuple[float, float]], **more: object) -> list[Record]:
    """The records of a curve."""
    return [{"name": name, "x": short(x), "value": short(y), **more} for x, y in curve]


def claims(cells: list[MeasuredCell], looks: dict[str, str], files: dict[str, RankFile]) -> Section | None:
    """True against false claims of every attacker on photos without a defence."""
    known = [cell for cell in undefended(cells) if cell.ids[0] in files and files[cell.ids[0]].roc]
    if not known:
        return None
    seeds = " Curves of the first seed; areas are means over seeds." if any(len(cell.ids) > 1 for cell in known) else ""
    return section(
        known,
        files,
        looks,
        lambda cell: cell.attacker,
        PANEL_AXES,
        "An attacker who may claim more than one genome per photo trades true claims against false ones. Claims are "
        f"made by one threshold on the score for all photos, or as the k best genomes of each photo.{seeds}",
        "true genomes claimed",
        list(KINDS),
    )


def section(
    cells: list[MeasuredCell],
    files: dict[str, RankFile],
    looks: dict[str, str],
    name: Callable[[MeasuredCell], str],
    axes: tuple[str, ...],
    text: str,
    found: str,
    kinds: list[str],
) -> Section:
    """The figure of cells that have curves; name: of a cell's line; kinds: of claims, a switch where there are two."""
    panels, note = panels_of(cells, axes)
    drawn = []
    for title, group in panels:
        rows: list[Record] = []
        for cell in group:
            for kind in kinds:
                area = cell.metrics.get(f"auc_{kind}")
                told = {} if area is None else {"area": f"{area.value:.3f}"}
                curve = files[cell.ids[0]].roc.get(kind, [])
                rows += points(name(cell), curve, channel=cell.channel, by=kind, **told)
        drawn.append(Panel(title, roc(looks, found), rows))
    shown = {row["name"] for panel in drawn for row in panel.rows}
    own = Choice("claims by", {kind: KINDS[kind] for kind in kinds})
    return Section(
        "roc", "Claims right and wrong", text, keys_of(looks, shown), drawn, own, note, folded=True, shared=False
    )
