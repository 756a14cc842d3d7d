"""A whole leaderboard: entries read and checked, tables ranked, games solved."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from linkbench.errors import InputError
from linkbench.leaderboard.board import Listed, Standings, load, tables
from linkbench.leaderboard.game import Game, games
from linkbench.leaderboard.ranking import AttackerPlace, Ranking, attackers, rank


class Sheet(NamedTuple):
    """A table with everything that is said about it."""

    table: Standings
    ranking: Ranking
    attackers: list[AttackerPlace]
    games: list[Game]

    @property
    def tailored(self) -> int:
        """How many ranked defences take no part in the games, because they saw the model that they met."""
        return sum(place.judged and place.row.tailored for place in self.ranking.places)


class Board(NamedTuple):
    """A whole leaderboard: its entries, and the sheets of every protocol, one per channel."""

    listed: list[Listed]
    protocols: list[list[Sheet]]


def sheet(table: Standings) -> Sheet:
    """A table, ranked."""
    ranking = rank(table)
    return Sheet(table, ranking, attackers(table, ranking), games(ranking))


def assemble(board: Path) -> Board:
    """Read, check, rank and solve. Raises InputError where an entry does not hold together."""
    if not board.is_dir():
        raise InputError(f"{board} is no folder. Start a leaderboard with: linkbench leaderboard add results/NAME")
    listed = load(board)
    protocols: dict[str, list[Sheet]] = {}
    for table in tables(listed):
        protocols.setdefault(table.digest, []).append(sheet(table))
    return Board(listed, list(protocols.values()))
