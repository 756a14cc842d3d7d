"""A table of scores gone through in rounds, some rows at a time, each round for what follows from the one before.

1. Each photo's true score and rank. 2. What of all scores lies above those of all photos, which is the ROC curve; and
how often claims at a few of them would be false. 3. The same at those between. 4. How many genomes reach the threshold
that was found with each photo. Rounds 3 and 4 are for claims, where any are asked for.

Rows may be gone through anywhere and in any order: what is found of some stands beside what is found of others, first
axis by first axis, and the sum of it is the same number for number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from linkbench.metrics.counting import Levels, ranked
from linkbench.metrics.open_set import Search, summed_false_claims
from linkbench.metrics.ranking import Roc
from linkbench.metrics.scores import ROWS, Array, Scores

Found = dict[str, Array]

RANKS, CURVE, SEARCH, CLAIMS = range(4)

POINTS = 400
"""Points that are kept of a curve, at most."""


class Claims(NamedTuple):
    """Which claims are asked about, and what is known after each round.

    population: M; sizes, rates: pile sizes and false positive rates, none where no claims are asked about.
    """

    population: int
    sizes: Sequence[int] = ()
    rates: Sequence[float] = ()

    @property
    def rounds(self) -> int:
        """How many rounds there are."""
        return 4 if self.sizes else 2

    def search(self, levels: Levels, known: Found) -> Search:
        search = Search.begin(len(levels.thresholds), self.sizes, self.rates)
        return search._replace(low=known["low"], high=known["high"]) if "low" in known else search

    def settled(self, turn: int, found: Found, known: Found) -> Found:
        """What is known after a round, from what it found in all rows and what was known before."""
        order = np.argsort(found["place"])
        if turn == RANKS:
            return {name: array[order] for name, array in found.items() if name != "place"}
        levels, known = Levels(known["score"]), dict(known)
        if turn == CURVE:
            roc = levels.roc(found["counts"].sum(axis=0), found["beaten"][order], self.population)
            known |= {"auc": np.array([roc.auc]), "auc_parts": roc.parts, **thinned("score", roc)}
        if turn == CLAIMS:
            shape = (len(self.sizes), len(self.rates))
            known["open_threshold"] = np.append(levels.thresholds, np.inf)[known.pop("low")].reshape(shape)
            known["open_others"] = np.ascontiguousarray(found["others"][order].T).reshape(*shape, -1)
            del known["high"]
        elif self.sizes:
            search = self.search(levels, known)
            rates = found["false_claims"].sum(axis=0) / len(levels.truth)
            search = search.narrowed(search.numbers(), rates)
            known |= {"low": search.low, "high": search.high}
        return known


class Rounds(NamedTuple):
    """A table of scores and what is looked for in it.

    also: what else there is to find in a band of scores, whose photos are int64 [n], by name, [n, ..] each.
    """

    scores: Scores
    claims: Claims
    also: Callable[[Array, Scores], Mapping[str, Array]] = lambda photos, band: {}

    def all(self) -> Found:
        """Every round over every row."""
        known = self.claims.settled(RANKS, self.look(RANKS, {}), {})
        held = self._replace(scores=self.scores.held())
        for turn in range(RANKS + 1, self.claims.rounds):
            known = self.claims.settled(turn, held.look(turn, known), known)
        return known

    def look(self, turn: int, known: Found, start: int = 0, stop: int | None = None) -> Found:
        """What a round finds in the rows from start to stop (as `Scores.bands`), known from the rounds before.

        place: int64 [n], the photos that it is about; no more where there is none. Raises UnsteadyScoresError.
        """
        found: dict[str, list[Array]] = {"place": []}
        levels = None if turn == RANKS else Levels(known["score"])
        for photos, band in self.scores.bands(start, stop):
            here = self._places(photos, band) if levels is None else self._above(turn, levels, photos, band, known)
            for name, array in {"place": photos, **here}.items():
                found.setdefault(name, []).append(array)
            if "counts" in found:  # one for all bands: whole numbers, whose sums are exact
                found["counts"] = [sum(found["counts"])]  # type: ignore[list-item]
        return {name: np.concatenate(arrays) if arrays else np.zeros(0, np.int64) for name, arrays in found.items()}

    def _places(self, photos: Array, band: Scores) -> Found:
        if self.scores.rows > ROWS:
            band = band.held()
        truth, ranks = ranked(band)
        return {"score": truth, "better": ranks.better, "tied": ranks.tied, **self.also(photos, band)}

    def _above(self, turn: int, levels: Levels, photos: Array, band: Scores, known: Found) -> Found:
        if turn == CLAIMS:
            low = known["low"]
            numbers, place = np.unique(low, return_inverse=True)
            return {"others": levels.others(band, photos, numbers)[place.reshape(low.shape)].T}
        found: Found = {}
        if turn == CURVE:
            counts, beaten = levels.count(band, photos)
            found = {"counts": counts[None], "beaten": beaten}
        if self.claims.sizes:
            search = self.claims.search(levels, known)
            claims = summed_false_claims(
                lambda numbers: levels.others(band, photos, numbers), search, self.claims.population
            )
            found["false_claims"] = claims[None]
        return found


def thinned(name: str, roc: Roc) -> Found:
    """A ROC curve thinned to at most POINTS points, as two arrays."""
    keep = np.unique(np.linspace(0, len(roc.false) - 1, POINTS).round().astype(np.int64))
    return {f"roc_{name}_false": roc.false[keep], f"roc_{name}_true": roc.true[keep]}
