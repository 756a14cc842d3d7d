"""The table of scores that an attacker gives, computed block by block when it is asked for and never held whole.

The score of a photo and a genome is whatever an attacker gives; only its order counts. Photos with equal evidence and
genomes with equal probabilities are grouped by the caller (`Scores.row`, `Scores.weight`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TIE = 1e-9
"""Scores closer than this are the same score."""

BLOCK = 1 << 20
"""Scores computed at a time, over all rows of a block."""

ROWS = 1024
"""Rows of a band: so many are gone through before the next ones."""

HELD = 1 << 23
"""Scores of a table that are held rather than computed again."""


class UnsteadyScoresError(ValueError):
    """The same photo and genome had two scores, so there is no rank: the attacker answers by something else."""


class Scores(NamedTuple):
    """Scores of R different rows of evidence against C different genomes, computed when asked for.

    block(rows, columns) -> float64 [r, c], the scores of a slice of the rows and one of the columns, always the same
    for the same row and column; row: int64 [N] the row of each photo; column: int64 [N] the column of its true genome;
    weight: float64 [C], how many genomes share a column, or None for one each; rows, columns: R and C; in_memory:
    whether blocks need not be computed.
    """

    block: Callable[[slice, slice], Array]
    row: Array
    column: Array
    rows: int
    columns: int
    weight: Array | None = None
    in_memory: bool = False

    @property
    def population(self) -> int:
        """M, the number of genomes."""
        return self.columns if self.weight is None else int(self.weight.sum())

    def bands(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Array, Scores]]:
        """The rows from start to stop, at most ROWS at a time: which photos are in them, int64 [n], and their scores.

        start: a multiple of ROWS. Bands are the same whatever range they are asked for in, and so are their blocks.
        """
        last = self.rows if stop is None else min(stop, self.rows)
        if start == 0 and self.rows <= min(last, ROWS):
            yield np.arange(len(self.row)), self
            return
        order = np.argsort(self.row, kind="stable")
        rows = self.row[order]
        for first in range(start, last, ROWS):
            count = min(ROWS, last - first)
            photos = order[slice(*np.searchsorted(rows, [first, first + count]))]
            yield photos, self._band(first, count, photos)

    def _band(self, first: int, count: int, photos: Array) -> Scores:
        def block(rows: slice, columns: slice) -> Array:
            return self.block(slice(first + rows.start, first + rows.stop), columns)

        return self._replace(block=block, row=self.row[photos] - first, column=self.column[photos], rows=count)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """The columns and scores of all rows, float64 [R, c], from the first column to the last."""
        step = max(1, min(self.columns, BLOCK // max(self.rows, 1)))
        for start in range(0, self.columns, step):
            span = slice(start, min(start + step, self.columns))
            yield span, self.block(slice(0, self.rows), span)

    def confirmed(self, truth: Array) -> Iterator[tuple[slice, Array]]:
        """The blocks, whose true pairs must score as in float64 [N] `truth`; raises UnsteadyScoresError otherwise."""
        order = np.argsort(self.column, kind="stable")
        columns = self.column[order]
        for span, table in self.blocks():
            photos = order[slice(*np.searchsorted(columns, [span.start, span.stop]))]
            found = table[self.row[photos], self.column[photos] - span.start]
            wrong = np.flatnonzero(np.abs(found - truth[photos]) > TIE)
            if len(wrong):
                raise UnsteadyScoresError(
                    f"scored one photo and genome {truth[photos[wrong[0]]]:.6g} and, asked again, {found[wrong[0]]:.6g}"
                )
            yield span, table

    def of_truth(self) -> Array:
        """float64 [N], the score of each photo with its true genome."""
        out = np.empty(len(self.row))
        order = np.argsort(self.column, kind="stable")
        columns = self.column[order]
        step = max(1, BLOCK // max(self.rows, 1))
        for start in np.unique(columns // step) * step:
            lo, hi = np.searchsorted(columns, [start, start + step])
            photos = order[lo:hi]
            table = self.block(slice(0, self.rows), slice(int(start), int(min(start + step, self.columns))))
            out[photos] = table[self.row[photos], self.column[photos] - start]
        return out

    def held(self) -> Scores:
        """The same, computed once and kept where there are at most HELD of them."""
        if self.in_memory or self.rows * self.columns > HELD:
            return self
        table = np.empty((self.rows, self.columns))
        for first in range(0, self.rows, ROWS):  # the blocks of bands, as others might differ in rounding
            band = self._band(first, min(ROWS, self.rows - first), np.zeros(0, np.int64))
            for span, found in band.blocks():
                table[first : first + band.rows, span] = found
        return self._replace(block=lambda rows, columns: table[rows, columns], in_memory=True)

    @classmethod
    def dense(cls, scores: Array, truth: Array) -> Scores:
        """A table float64 [N, M] that is small enough to hold, with the true column int64 [N] of each row."""
        scores = np.asarray(scores, dtype=np.float64)
        photos, genomes = scores.shape
        return cls(lambda a, b: scores[a, b], np.arange(photos), np.asarray(truth), photos, genomes, in_memory=True)
