"""One-to-one matching of all photos of a population at once."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from linkbench.api.data import Array
from linkbench.attackers.predicted import Predicted
from linkbench.errors import MissingExtraError


class Assignment(Predicted):
    """The one-to-one matching with the largest sum of the paper's scores. Humbert et al. 2015.

    Genomes are ranked for each photo by the score less the genome's price in the optimal matching (the dual of the
    assignment problem): a genome that fits many photos is dear. The assigned genome always comes first.
    """

    joint: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("scipy",)

    def compete(self, scores: Array) -> Array:
        """float64 [n, m], n <= m: scores less prices, the assigned genome of each photo above all others."""
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError:
            raise MissingExtraError("attacker 'assignment'", "scipy", "assignment") from None
        rows, columns = linear_sum_assignment(scores, maximize=True)
        adjusted = scores - prices(scores, rows, columns)
        adjusted[rows, columns] = adjusted.max(axis=1)[rows] + 1.0
        return adjusted


def prices(scores: Array, rows: Array, columns: Array) -> Array:
    """float64 [m], smallest prices v >= 0 at which every photo is content with its assigned genome.

    Longest paths in the graph of envy (Bellman-Ford): v_j >= s_ij - s_i,assigned + v_assigned for all i; there is
    no cycle of envy because the matching is optimal, so at most m rounds are needed.
    """
    envy = scores[rows] - scores[rows, columns][:, None]
    price: Array = np.zeros(scores.shape[1])
    for _ in range(scores.shape[1]):
        raised = np.maximum(price, (envy + price[columns][:, None]).max(axis=0, initial=0.0))
        if np.allclose(raised, price, rtol=0.0, atol=1e-12):
            break
        price = raised
    return price
