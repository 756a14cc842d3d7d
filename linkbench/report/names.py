"""What protections are called, the same everywhere."""

from __future__ import annotations

from linkbench.report import numbers
from linkbench.results.cells import MeasuredCell, cleaned
from linkbench.results.verdicts import Protection


def of(protection: Protection) -> str:
    """A defence with its budget, and the poison beside it."""
    poison, defender, epsilon = protection
    budget = "" if epsilon is None else f", ε {numbers.epsilon(epsilon)}"
    if not poison:
        return f"{cleaned(defender)}{budget}"
    return f"{cleaned(defender)}{budget} and poison {cleaned(poison)}" if defender else f"poison {cleaned(poison)}"


def of_cell(cell: MeasuredCell) -> str:
    """The protection of a cell."""
    poison = "" if cell.facts.unpoisoned else cell.poison
    return of(Protection(poison, "" if poison and cell.facts.undefended else cell.defender, cell.epsilon))
