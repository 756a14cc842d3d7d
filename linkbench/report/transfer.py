"""Surrogates against targets in the report: what a defence made for some networks does against others."""

from __future__ import annotations

from linkbench.report import names, numbers
from linkbench.report.ladder import where
from linkbench.report.matrices import Matrices, Matrix, Square, square
from linkbench.results.cells import Value, cleaned
from linkbench.results.transfer import OTHER_SEED, OWN, Met, Reach, Transfer

WORDS = {OWN: "the attacker's own", OTHER_SEED: "another seed of the attacker's own"}


def tables(matrices: list[Transfer], level: str) -> Matrices | None:
    """A table for every place: a row for each defence with the networks that it saw, a column for each network."""
    if not matrices:
        return None
    places = [matrix.place for matrix in matrices]
    found = []
    for matrix in matrices:
        met = [one for row in (matrix.plain, *(reach.against for reach in matrix.reaches)) for one in row if one]
        highest = max(one.success.value for one in met) or 1.0
        columns = [
            f"{cleaned(name)}, sealed" if sealed else cleaned(name)
            for name, sealed in zip(matrix.networks, matrix.sealed, strict=True)
        ]
        rows = [("no defence", _squares(matrix.plain, highest))] if any(matrix.plain) else []
        rows += [(_name(reach), _squares(reach.against, highest)) for reach in matrix.reaches]
        found.append(Matrix(where(matrix.place, places), columns, rows, cleaned(matrix.place["channel"])))
    question = matrices[0].question
    text = (
        f"success@{question.k} in a population of {question.n} of the strongest attacker with each network (columns), "
        f"by the networks that a defence saw (rows), with {level} intervals; below, how much of his gain over guessing "
        f"the defence takes away; — was not played. A sealed network is one that no defence of the run may see."
    )
    return Matrices("Networks that defences saw against those of attackers", text, found, "transfer")


def _name(reach: Reach) -> str:
    saw = numbers.and_list([WORDS.get(name, cleaned(name)) for name in reach.seen]) or "no network"
    return f"{names.of(reach.protection)} (saw {saw})"


def _squares(row: tuple[Met | None, ...], highest: float) -> list[Square | None]:
    return [None if one is None else _square(one, highest) for one in row]


def _square(met: Met, highest: float) -> Square:
    plain = square(met.success, highest)
    return plain if met.taken is None else plain._replace(interval=f"{plain.interval}; takes {_share(met.taken)}")


def _share(taken: Value) -> str:
    """A share that may lie below 0, with its interval; above 1 where an attacker does worse than guessing."""
    return f"{100 * taken.value:.0f}% ({100 * taken.low:.0f} to {100 * taken.high:.0f}%)"
