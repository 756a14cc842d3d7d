"""How each photo of a cell fares, by its name: for the terminal of whoever owns the photos."""

from __future__ import annotations

from typing import Any

from linkbench.plan.coordinates import COORDINATES
from linkbench.report import numbers
from linkbench.results.photos import SIZE, Place


def table(run: dict[str, Any], cell: dict[str, Any], found: list[Place]) -> str:
    """Lines of text: what the cell is, then its photos, the best found first."""
    varied = [axis for axis in COORDINATES if len({str(other[axis]) for other in run["cells"]}) > 1]
    where = ", ".join(f"{axis} {cell[axis]}" for axis in varied or ["attacker"] if cell[axis] is not None)
    names = [_printable(place.name) for place in found]
    width = max(5, *(len(name) for name in names)) if names else 5
    lines = [where, f"  {'photo':<{width}}  {'person':>6}  {'expected rank':>13}  {f'first of {SIZE}':>12}"]
    for name, place in zip(names, found, strict=True):
        success = numbers.percent(place.success)
        lines.append(f"  {name:<{width}}  {place.identity:>6}  {place.rank:>13,.1f}  {success:>12}")
    return "\n".join([*lines, ""])


def _printable(name: str) -> str:
    """A file name without what would move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
