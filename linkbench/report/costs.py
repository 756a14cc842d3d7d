"""What defences and poisons did to the photos, and what that took: one line for each and its budget, for a terminal."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.report import numbers
from linkbench.report.tables import HEADINGS, place_text
from linkbench.results.cells import MeasuredCell, coordinates, grouped, short, varying

AXES = {"": ("cohort", "genomes", "model", "poison", "defender", "epsilon"), "poison_": ("cohort", "genomes", "poison")}
"""What lines may differ in: for photos that are linked, and for poisoned photos that the attacker trained on."""
MOST = 60
"""Lines of the table, at most; results.csv has all."""


class Lines(NamedTuple):
    """Headings, with whether numbers stand below; the rows; and how many were left out."""

    headings: list[tuple[str, bool]]
    rows: list[list[str]]
    left_out: int


def costs(cells: list[MeasuredCell], run: dict[str, Any], prefix: str = "") -> Lines | None:
    """Largest L-infinity change and mean Delta E in the first channel, mean SSIM for each channel, milliseconds per
    photo; None where no photo was changed. prefix: `poison_` for the photos that the attacker trained on.

    Times are those of the machine and moment at which the photos were changed, and are told in run.json only.
    """
    whose = "poison" if prefix else "defender"
    changed = [
        cell
        for cell in cells
        if cell.metrics.get(f"{prefix}linf_max") and not (cell.facts.unpoisoned if prefix else cell.facts.undefended)
    ]
    if not changed:
        return None
    taken = {cell["id"]: cell.get(f"{prefix}seconds_per_photo") for cell in run.get("cells", [])}
    axes = [axis for axis in varying([cell.place for cell in changed]) if axis in AXES[prefix]] or [whose]
    channels = list(dict.fromkeys(cell.channel for cell in changed))
    headings = [(HEADINGS.get(axis, axis), axis == "epsilon") for axis in axes]
    headings += [
        (f"L∞ {channels[0]}", True),
        (f"ΔE {channels[0]}", True),
        *((f"SSIM {name}", True) for name in short(channels).values()),
    ]
    headings += [("ms/photo", True)]
    rows = []
    for same in grouped(changed, lambda cell: coordinates(cell, axes)):
        by_channel = {cell.channel: cell for cell in same}
        row = [_coordinate(axis, same[0]) for axis in axes]
        row += [_number(by_channel.get(channels[0]), f"{prefix}linf_max", "{:.4f}")]
        row += [_number(by_channel.get(channels[0]), f"{prefix}delta_e", "{:.1f}")]
        row += [_number(by_channel.get(channel), f"{prefix}ssim", "{:.3f}") for channel in channels]
        rows.append([*row, _milliseconds(same, taken)])
    return Lines(headings, rows[:MOST], max(0, len(rows) - MOST))


def _coordinate(axis: str, cell: MeasuredCell) -> str:
    value = cell.place[axis]
    return "" if value is None else numbers.brief(place_text(axis, value), 30)


def _milliseconds(same: list[MeasuredCell], taken: dict[str, float | None]) -> str:
    """Time per photo of the first of these cells that has one."""
    found = [taken.get(id_) for cell in same for id_ in cell.ids]
    seconds = next((value for value in found if value is not None), None)
    return numbers.NOTHING if seconds is None else numbers.plain(1000 * seconds)


def _number(cell: MeasuredCell | None, metric: str, form: str) -> str:
    value = cell.metrics.get(metric) if cell else None
    return form.format(value.value) if value else numbers.NOTHING
