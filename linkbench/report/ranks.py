"""What the report needs from the stored ranks of a cell: sizes and ROC curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from linkbench.errors import TensorFileError
from linkbench.report.scale import thin
from linkbench.results.cells import MeasuredCell
from linkbench.store import tensorfile

POINTS = 120


class RankFile(NamedTuple):
    """How many photos of how many people were linked against how many genomes, the ROC curves by kind, and, in
    identification, the share of probes with the right person among the k first, k = 1 and up."""

    photos: int
    people: int
    population: int
    roc: dict[str, list[tuple[float, float]]]
    cmc: list[float]


def read(folder: Path, cells: list[MeasuredCell]) -> dict[str, RankFile]:
    """The rank files of all cells that have one; damaged and absent files are left out, the table stands without."""
    found = {}
    for id_ in dict.fromkeys(id_ for cell in cells for id_ in cell.ids):
        if not id_.isalnum():  # ids name files; anything else is not ours
            continue
        try:
            found[id_] = _read(folder / "ranks" / f"{id_}.safetensors")
        except (OSError, KeyError, ValueError, TypeError, TensorFileError):
            continue
    return found


def _read(path: Path) -> RankFile:
    artefact = tensorfile.read(path)
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
