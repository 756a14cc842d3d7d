"""The authors' own protocol on linkbench's scores equals the authors' own numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkbench.api.data import Artefact
from linkbench.attackers.predicted import Predicted
from linkbench.cohorts.paper_tables import PaperTablesCohort
from linkbench.genomes.paper_tables import PaperTables
from linkbench.metrics.scores import TIE
from linkbench.stages.evidence import gather, own_scores

AUTHORS = json.loads((Path(__file__).parent / "data" / "authors_windows.json").read_text())


def windows(size: int, people: int = 456, step: int = 10) -> Iterator[tuple[int, int]]:
    """First and last row (exclusive) of the windows of the authors' run.

    Windows start every 10 rows. The last one starts at row 457 - size and reaches one row beyond the table, so it holds
    size - 1 people; size 460 is one window of everybody.
    """
    last = people + 1 - size
    starts = [*range(0, last, step), last]
    yield from ((max(start, 0), min(start + size, people)) for start in starts)


@cache
def scores() -> Any:
    """float64 [456, 456], photos x genomes in file order, as `rank` computes them for `predicted`."""
    genomes = PaperTables(setting="realistic").build(0)
    people = PaperTablesCohort().build(genomes, 0)
    assert people.predictions is not None
    predicted = Artefact({"photo": np.arange(len(people)), "probabilities": people.predictions}, {})
    lazy = own_scores(Predicted(), genomes, gather(Predicted(), people, predicted, {}, 0), group=False)
    assert people.truth.tolist() == list(range(456))
    return np.concatenate([block for _, block in lazy.blocks()], axis=1)[lazy.row]


def places(start: int, stop: int) -> Any:
    """int [people], place of each true genome, 0 first, in a stable order of a window: ties by file order."""
    table = scores()[start:stop, start:stop]
    own = np.diag(table)[:, None]
    same = np.abs(table - own) <= TIE
    return ((table > own) & ~same).sum(axis=1) + np.tril(same, -1).sum(axis=1)


@pytest.mark.parametrize("size", AUTHORS["n"])
def test_windows_equal_the_authors(size: int) -> None:
    found = [places(*window) for window in windows(size)]
    at = AUTHORS["n"].index(size)
    for k in (1, 3, 5):
        correct = sum(int((place < k).sum()) for place in found)
        assert correct / len(found) == AUTHORS[f"top{k}"][at]


def test_the_windows_are_what_they_say() -> None:
    assert list(windows(460)) == [(0, 456)]
    assert list(windows(450)) == [(0, 450), (7, 456)]
    assert len(list(windows(10))) == 46
    assert all(len(AUTHORS[name]) == 46 for name in ("n", "top1", "top3", "top5"))
