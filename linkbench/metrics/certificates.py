"""How far votes under Gaussian noise can be trusted: which variants no change of some length can bring about.

Cohen, Rosenfeld & Kolter 2019 (Theorem 1), for every variant instead of the second most likely one, and with room for
the chance that a vote of finitely many draws has. See docs/mathematics.md, "Certificates".
"""

from __future__ import annotations

import numpy as np

from linkbench.api.data import Array
from linkbench.api.schema import Schema
from linkbench.metrics import ranking

ERROR = 0.001
"""With this probability, at most, a certificate of a photo is wrong: half for the bounds that the clean photo's votes
give, half for the vote on the changed photo."""

FARTHEST = 20.0
"""No radius is larger than this many deviations of the noise; no number of draws that anybody counts gives so many."""

HALVINGS = 50
"""Of the interval in which a radius is looked for; the lower end is taken."""


def clopper_pearson(counts: Array, draws: int, error: float) -> tuple[Array, Array]:
    """Lower and upper bounds of binomial probabilities, each of which fails with probability `error` at most.

    counts: successes of `draws`, any shape (Clopper & Pearson 1934).
    """
    from scipy.special import betaincinv

    hits = np.asarray(counts, dtype=np.float64)
    lower = betaincinv(np.maximum(hits, 1.0), draws - hits + 1.0, error)
    upper = betaincinv(hits + 1.0, np.maximum(draws - hits, 1.0), 1.0 - error)
    return np.where(hits > 0, lower, 0.0), np.where(hits < draws, upper, 1.0)


def radii(counts: Array, draws: int, sigma: float, schema: Schema, error: float = ERROR) -> Array:
    """float64 [n, V]: whatever is added to a photo, of a 2-norm below this, the variant does not win the next vote.

    counts: int [n, V], votes of `draws` looks at the photo, each with noise of deviation `sigma` in every number of it;
    the next vote has as many. 0 where the votes exclude nothing. All V statements about a photo and the vote hold
    together with probability 1 - error.
    """
    lower, upper = clopper_pearson(counts, draws, error / (4 * schema.width))
    out = np.zeros(np.shape(counts))
    for span in schema.slices.values():
        for variant in range(span.start, span.stop):
            rivals = np.delete(lower[:, span], variant - span.start, axis=1).max(axis=1)
            out[:, variant] = sigma * _distance(rivals, upper[:, variant], draws, error / (2 * schema.width))
    return out


def _distance(rival: Array, variant: Array, draws: int, error: float) -> Array:
    """How many deviations a photo can move before a variant may get as many votes as a rival; float64 [n].

    rival: lower bounds of one probability; variant: upper bounds of the other; error: probability that the vote comes
    out otherwise where it is said not to.
    """
    from scipy.special import ndtr, ndtri

    # by Chernoff's bound a rival of probability a beats a variant of probability b in all but a part
    # (1 - (sqrt a - sqrt b)^2)^draws of the votes
    margin = np.sqrt(-np.expm1(np.log(error) / draws))
    with np.errstate(divide="ignore"):
        ahead, behind = ndtri(rival), ndtri(variant)

    def apart(distance: Array) -> Array:
        gap: Array = np.sqrt(ndtr(ahead - distance)) - np.sqrt(ndtr(behind + distance)) - margin
        return gap

    low, step = np.zeros(len(rival)), FARTHEST
    for _ in range(HALVINGS):
        step /= 2.0
        low = np.where(apart(low + step) >= 0, low + step, low)
    return np.where(apart(low) >= 0, low, 0.0)


def combinations(schema: Schema) -> Array:
    """int64 [C, P], every outcome of votes: for each phenotype a variant, or their number if all are as frequent."""
    grids = np.meshgrid(*(np.arange(len(schema[phenotype]) + 1) for phenotype in schema), indexing="ij")
    return np.stack([grid.reshape(-1) for grid in grids], axis=1)


def reach(radius: Array, schema: Schema) -> Array:
    """float64 [n, C]: no change of a 2-norm below this brings about all outcomes of a combination; radius: [n, V].

    While any variant of a phenotype is sure to be less frequent than another they are not all as frequent.
    """
    each = [np.column_stack([radius[:, span], radius[:, span].max(axis=1)]) for span in schema.slices.values()]
    starts = np.cumsum([0, *(part.shape[1] for part in each[:-1])])
    return np.asarray(np.concatenate(each, axis=1)[:, starts + combinations(schema)].max(axis=2))


def certified(reached: Array, ranks: ranking.Ranks, population: int, ks: list[int], sizes: list[int]) -> Certificate:
    """What is left of the success of each photo, whichever change of a length it meets.

    reached: float64 [n, C], as of `reach`; ranks: where the true genome stands if each combination is predicted, [n, C]
    each. See `Certificate.at`.
    """
    flat = ranking.Ranks(*(np.ascontiguousarray(part).reshape(-1) for part in ranks))
    success = ranking.success_curves(flat, population, ks, sizes)
    return Certificate(reached, success.reshape(*success.shape[:2], *reached.shape))


class Certificate:
    """A lower bound of each photo's success for every length of a change.

    reached: float64 [n, C]; success: float64 [K, S, n, C], if each combination is predicted.
    """

    def __init__(self, reached: Array, success: Array) -> None:
        self.reached, self.success = reached, success

    def at(self, length: Array) -> Array:
        """float64 [K, S, n], the least success under any change of a photo of at most this 2-norm, float64 [n].

        A combination that is not excluded at that length may be predicted.
        """
        possible = self.reached <= np.asarray(length)[:, None]
        least: Array = np.where(possible, self.success, np.inf).min(axis=3)
        return least
