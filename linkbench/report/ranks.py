"""What the report needs from the stored ranks of a cell: sizes and ROC curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from linkbench.api.data import Artefact
from linkbench.errors import InputError
from linkbench.report.thinning import thin
from linkbench.results.cells import MeasuredCell

POINTS = 80


class RankFile(NamedTuple):
    """How many photos of how many people were linked against how many genomes, the ROC curves by kind, and, in
    identification, the share of probes with the right person among the k first, k = 1 and up."""

    photos: int
    people: int
    population: int
    roc: dict[str, list[tuple[float, float]]]
    cmc: list[float]


def read(load: Callable[[str], Artefact], cells: list[MeasuredCell]) -> dict[str, RankFile]:
    """The ranks of all cells that have some; damaged and absent ones are left out, the table stands without.

    load: the stored ranks of a cell by its id.
    """
    found = {}
    for id_ in dict.fromkeys(id_ for cell in cells for id_ in cell.ids):
        try:
            found[id_] = _read(load(id_))
        except (InputError, KeyError, ValueError, TypeError):
            continue
    return found


def _read(artefact: Artefact) -> RankFile:
    people = artefact.array("identity").tolist()
    roc = {}
    for kind in ("score", "k"):
        if f"roc_{kind}_false" in artefact.arrays:
            false = [float(x) for x in artefact.array(f"roc_{kind}_false")]
            true = [float(y) for y in artefact.array(f"roc_{kind}_true")]
            pairs = [(x, y) for x, y in zip(false, true, strict=True) if math.isfinite(x) and math.isfinite(y)]
            if pairs:
                # thinned along the curve's own length: steep beginnings need the points
                roc[kind] = [pairs[i] for i in thin(len(pairs), POINTS, [x + y for x, y in pairs])]
    cmc = [float(share) for share in artefact.array("cmc")] if "cmc" in artefact.arrays else []
    cmc = cmc if all(0 <= share <= 1 for share in cmc) else []
    return RankFile(len(people), len(set(people)), int(artefact.meta["population"]), roc, cmc)
