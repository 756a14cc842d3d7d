"""The zero-sum game between defenders and attackers, solved by linear programming.

The defender draws one defence by chance, the attacker one opponent (attacker and model), neither sees the other's
draw; the payoff A[d, o] is the success of o against d. So a defence that made its photos for the very model that it met
takes no part: it saw the draw. By von Neumann's theorem min_x max_o (x A)_o equals
max_y min_d (A y)_d; both sides are linear programs. Of several equilibria the defender's with the highest mean SSIM
is shown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.errors import MissingExtraError
from linkbench.leaderboard.board import Opponent, Standing
from linkbench.leaderboard.ranking import NEAR, Ranking

SLACK = 1e-9
"""How far the second program may leave the value of the first."""


RARE = 1e-4
"""Probabilities below this come from rounding, not from the game."""


class Solution(NamedTuple):
    """value: success in equilibrium; defenders, attackers: float64 probabilities of rows and columns."""

    value: float
    defenders: Array
    attackers: Array


class Game(NamedTuple):
    """The game among rows of a budget: its value, who plays how often, and the best that one row alone reaches."""

    budget: float | None
    value: float
    defenders: list[tuple[Standing, float]]
    attackers: list[tuple[Opponent, float]]
    pure: float
    rows: int


def solve(payoff: Array, likeness: Array | None = None) -> Solution:
    """The value and an equilibrium. payoff: float64 [D, O], what the column player wins from the row player.

    likeness: float64 [D], preferred high among the row player's optimal mixtures.
    """
    rows, columns = payoff.shape
    value, first = _minimax(payoff)
    defenders = _preferred(payoff, value, np.zeros(rows) if likeness is None else likeness, first)
    other, second = _minimax(-payoff.T)
    attackers = _preferred(-payoff.T, other, -np.arange(columns) / max(columns, 1), second)
    return Solution(max(float(payoff.min()), value), defenders, attackers)  # rounding may leave the range


def _minimax(payoff: Array) -> tuple[float, Array]:
    """min over mixtures x of the largest column of x A, and such an x."""
    rows, columns = payoff.shape
    found = _program(
        np.append(np.zeros(rows), 1.0),
        np.hstack([payoff.T, -np.ones((columns, 1))]),
        np.zeros(columns),
        np.append(np.ones(rows), 0.0)[None, :],
        [*[(0.0, 1.0)] * rows, (None, None)],
    )
    return float(found[-1]), found[:-1]


def _preferred(payoff: Array, value: float, weight: Array, otherwise: Array) -> Array:
    """Among the mixtures that hold the value, the one with the highest mean weight."""
    rows, columns = payoff.shape
    limits = np.full(columns, value + SLACK)
    try:
        found = _program(-weight, payoff.T, limits, np.ones((1, rows)), [(0.0, 1.0)] * rows)
    except ArithmeticError:  # rounding left no room between the two programs
        found = otherwise
    mixture: Array = np.where(found < RARE, 0.0, found)
    total: Array = mixture / mixture.sum()
    return total


def _program(cost: Array, upper: Array, limit: Array, equal: Array, bounds: list[tuple[float | None, ...]]) -> Array:
    try:
        from scipy.optimize import linprog
    except ImportError:
        raise MissingExtraError("the value of the game", "scipy", "leaderboard") from None
    found = linprog(cost, A_ub=upper, b_ub=limit, A_eq=equal, b_eq=[1.0], bounds=bounds, method="highs")
    if not found.success:
        raise ArithmeticError(f"the linear program of the game was not solved: {found.message}")
    solution: Array = found.x
    return solution


def games(ranking: Ranking) -> list[Game]:
    """The game among all rows that take part and knew no opponent, and among those of every budget that two share."""
    rows = [place.row for place in ranking.places if place.judged and not place.row.tailored]
    budgets = sorted({row.epsilon for row in rows if row.epsilon is not None and not row.control})
    out = []
    seen: set[frozenset[str]] = set()
    for budget in [None, *reversed(budgets)]:
        own = [row for row in rows if budget is None or (row.size is not None and row.size <= budget + NEAR)]
        if sum(not row.control for row in own) < 2 or frozenset(row.key for row in own) in seen:
            continue
        seen.add(frozenset(row.key for row in own))
        out.append(_game(ranking.judging, own, budget))
    return out


def _game(columns: list[Opponent], rows: list[Standing], budget: float | None) -> Game:
    payoff = np.array([[row.played[opponent].value() for opponent in columns] for row in rows])
    found = solve(payoff, np.array([row.ssim if row.ssim is not None else 0.0 for row in rows]))
    mixed = [(row, float(share)) for row, share in zip(rows, found.defenders, strict=True) if share > 0]
    against = [(who, float(share)) for who, share in zip(columns, found.attackers, strict=True) if share > 0]
    return Game(
        budget,
        found.value,
        sorted(mixed, key=lambda pair: (-round(pair[1], 6), pair[0].label)),
        sorted(against, key=lambda pair: (-round(pair[1], 6), pair[0])),
        float(payoff.max(axis=1).min()),
        len(rows),
    )
