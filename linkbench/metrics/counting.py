"""How many genomes score better than the true one, and how many score at least what: counts over a table of scores.

Everything goes through the table band by band (see `Scores.bands`), so that memory is a block of scores and a few
numbers for each photo. All sums are of whole numbers, or of halves, and exact: how rows are cut changes no bit.
"""

from __future__ import annotations

import numpy as np

from linkbench.metrics.ranking import Ranks, Roc
from linkbench.metrics.scores import TIE, Array, Scores


class _Cells:
    """The cells between sorted edges that values lie in; exact, with a look-up instead of a search for nearly all.

    The range of the edges is cut into equal bins. A value in a bin without an edge lies in one known cell; only
    values that share a bin with an edge are searched for. Values are placed and edges are placed by the same
    monotone arithmetic, so no rounding can move a value across an edge of another bin.
    """

    def __init__(self, edges: Array) -> None:
        self.edges = edges
        self.bins = int(min(max(1 << 12, 64 * len(edges)), 1 << 22))
        low, high = edges[0], edges[-1]
        self.low = low
        self.scale = (self.bins - 3) / (high - low) if high > low else 0.0
        of_edges = self._bin(edges)
        self.cell = np.searchsorted(of_edges, np.arange(self.bins), side="left")
        self.cell[of_edges] = -1

    def _bin(self, values: Array) -> Array:
        # one bin below and one above the edges: everything outside them is in a cell of its own
        place = (values - self.low) * self.scale
        np.clip(place, -1.0, self.bins - 3.0 + 0.5, out=place)
        place += 1.0
        bins: Array = place.astype(np.intp)  # what indexing and bincount would convert to
        return bins

    def __call__(self, values: Array) -> Array:
        """int64, the cell c of each value v: edges[c-1] <= v < edges[c]."""
        cells: Array = self.cell[self._bin(values)]
        near = np.nonzero(cells < 0)
        cells[near] = np.searchsorted(self.edges, values[near], side="right")
        return cells

    def counted(self, values: Array, weight: Array | None) -> Array:
        """float64 [len(edges) + 1], summed weights of the values in each cell."""
        return np.bincount(self(values), weights=weight, minlength=len(self.edges) + 1).astype(np.float64)


def _edges(thresholds: Array) -> tuple[Array, Array, Array]:
    """Sorted edges around each threshold, and where the lower and the upper edge of each threshold stand."""
    lower = thresholds - TIE
    upper = np.nextafter(thresholds + TIE, np.inf)
    edges = np.unique(np.concatenate([lower, upper]))
    return edges, np.searchsorted(edges, lower), np.searchsorted(edges, upper)


def count_ranks(scores: Scores) -> Ranks:
    """How many other genomes score better than, or the same as, the true genome of each photo.

    Time is that of computing the scores and one look-up each; memory is a block of scores and the photos. Raises
    UnsteadyScoresError where the scores are not the same when they are asked for again.
    """
    better, tied = np.zeros((2, len(scores.row)), dtype=np.int64)
    for photos, band in scores.bands():
        _, ranks = ranked(band)
        better[photos], tied[photos] = ranks
    return Ranks(better, tied)


def ranked(band: Scores) -> tuple[Array, Ranks]:
    """The true scores float64 [n] and the ranks of the photos of a band. Raises UnsteadyScoresError."""
    truth = band.of_truth()
    if len(np.unique(band.row)) == len(truth):  # every photo has a row of its own: compare directly
        return truth, _count_single(band, truth)
    photos = [np.flatnonzero(band.row == row) for row in range(band.rows)]
    placed = [_edges(truth[index]) if len(index) else None for index in photos]
    cells = [None if place is None else _Cells(place[0]) for place in placed]
    counts = [None if place is None else np.zeros(len(place[0]) + 1) for place in placed]
    for span, block in band.confirmed(truth):
        weight = None if band.weight is None else band.weight[span]
        for row, cell in enumerate(cells):
            if cell is not None:
                counts[row] += cell.counted(block[row], weight)
    better = np.zeros(len(truth), dtype=np.int64)
    tied = np.zeros(len(truth), dtype=np.int64)
    for index, place, count in zip(photos, placed, counts, strict=True):
        if place is not None and count is not None:
            _, lower, upper = place
            at_least = count[::-1].cumsum()[::-1]  # values >= edges[c-1]
            better[index] = np.rint(at_least[upper + 1])
            tied[index] = np.rint(at_least[lower + 1] - at_least[upper + 1]) - 1  # without the true genome itself
    return truth, Ranks(better, tied)


def _count_single(band: Scores, truth: Array) -> Ranks:
    threshold = np.full(band.rows, np.inf)
    threshold[band.row] = truth
    low, high = (threshold - TIE)[:, None], (threshold + TIE)[:, None]
    above = np.zeros(band.rows)
    at_least = np.zeros(band.rows)
    for span, block in band.confirmed(truth):
        if band.weight is None:
            above += np.count_nonzero(block > high, axis=1)
            at_least += np.count_nonzero(block >= low, axis=1)
        else:
            above += (block > high) @ band.weight[span]
            at_least += (block >= low) @ band.weight[span]
    better, both = np.rint(above[band.row]), np.rint(at_least[band.row])
    return Ranks(better.astype(np.int64), (both - better - 1).astype(np.int64))


class Levels:
    """The thresholds at the true scores of all photos, float64 [N], and what of a table of scores lies above them.

    thresholds: float64 [T], ascending; a *cell* lies between neighbouring edges, of which there are E around the
    thresholds.
    """

    def __init__(self, truth: Array) -> None:
        self.truth = truth
        self.thresholds = np.unique(truth)
        self.edges, self.lower, self.upper = _edges(self.thresholds)
        self.cells = _Cells(self.edges)
        self.own = np.searchsorted(self.edges, truth, side="right")
        self.positives = np.bincount(self.own, minlength=len(self.edges) + 1).astype(np.float64)
        hits = self.positives[::-1].cumsum()[::-1]
        # how many true scores lie above a value in this cell, those in the same cell counted half
        self.above = np.append(hits[1:], 0.0) + self.positives / 2.0

    def count(self, band: Scores, photos: Array) -> tuple[Array, Array]:
        """Scores of a band in each cell, over its photos, float64 [E + 1], true pairs too; and float64 [n], how many of
        all true scores lie above the scores of each photo, summed over genomes, the true one too.

        photos: int64 [n], which of all photos those of the band are. Raises UnsteadyScoresError.
        """
        share = np.bincount(band.row, minlength=band.rows).astype(np.float64)[:, None]
        counts, beaten = np.zeros(len(self.edges) + 1), np.zeros(band.rows)
        for span, block in band.confirmed(self.truth[photos]):
            cells = self.cells(block)
            weight = np.ones(block.shape[1]) if band.weight is None else band.weight[span]
            counts += np.bincount(cells.ravel(), weights=(share * weight).ravel(), minlength=len(counts))
            beaten += self.above[cells] @ weight
        return counts, beaten[band.row]

    def others(self, band: Scores, photos: Array, numbers: Array) -> Array:
        """int64 [K, n], genomes but the true one that score at least the threshold of each number with each photo.

        numbers: int64 [K], ascending; T is above all scores. Raises UnsteadyScoresError.
        """
        truth = self.truth[photos]
        asked = numbers[numbers < len(self.thresholds)]
        out = np.zeros((len(numbers), len(photos)), dtype=np.int64)
        if not len(asked):
            return out
        edges = self.edges[self.lower[asked]]
        cells, width = _Cells(edges), len(asked) + 1
        counts = np.zeros(band.rows * width)
        first = (np.arange(band.rows) * width)[:, None]
        for span, block in band.confirmed(truth):
            place = (cells(block) + first).ravel()
            weight = None if band.weight is None else np.tile(band.weight[span], band.rows)
            counts += np.bincount(place, weights=weight, minlength=len(counts))
        reached = counts.reshape(band.rows, width)[:, ::-1].cumsum(axis=1)[:, -2::-1]  # values >= edges[k]
        out[: len(asked)] = np.rint(reached[band.row].T).astype(np.int64) - (truth >= edges[:, None])
        return out

    def roc(self, counts: Array, beaten: Array, population: int) -> Roc:
        """The curve over thresholds, from what `count` gave, summed over all bands and for all photos."""
        n, others = len(self.truth), population - 1
        negatives = counts - self.positives  # the true pairs are in the counts too
        above = negatives[::-1].cumsum()[::-1]
        place = np.searchsorted(self.thresholds, self.truth)
        high, both = above[self.upper + 1], above[self.lower + 1]
        won_by_truth = (1.0 - (high + (both - high) / 2.0) / max(n * others, 1))[place]
        # the same from the other side: how often the negatives of one photo lie below the true scores of all
        lost_by_others = (beaten / n - self.above[self.own] / n) / max(others, 1)
        auc = float(won_by_truth.mean())
        order = np.argsort(-self.thresholds)
        false = np.concatenate([[0.0], both[order] / max(n * others, 1), [1.0]])
        claimed = np.bincount(place, minlength=len(self.thresholds))[order].cumsum() / n
        return Roc(false, np.concatenate([[0.0], claimed, [1.0]]), auc, won_by_truth + lost_by_others - auc)


def roc_by_score(scores: Scores) -> Roc:
    """Claims are all pairs above a threshold on the score, one threshold for all photos; ties counted half.

    Raises UnsteadyScoresError where the scores are not the same when they are asked for again.
    """
    truth = np.empty(len(scores.row))
    for photos, band in scores.bands():
        truth[photos] = band.of_truth()
    levels = Levels(truth)
    counts, beaten = np.zeros(len(levels.edges) + 1), np.empty(len(truth))
    for photos, band in scores.bands():
        found, beaten[photos] = levels.count(band, photos)
        counts += found
    return levels.roc(counts, beaten, scores.population)
