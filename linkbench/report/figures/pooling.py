"""Several photos of a person: what the second and the eighth add to the first, protected or leaked."""

from __future__ import annotations

from typing import Any

from linkbench.report import names
from linkbench.report.figures.base import (
    CHANCE,
    GUESSING,
    SETTING_AXES,
    Panel,
    Section,
    colours,
    guesses,
    keys_of,
    panels_of,
    successes,
    switched_sizes,
)
from linkbench.report.figures.vega import Axis, lines
from linkbench.results.cells import MeasuredCell, cleaned, coordinates, grouped


def by_photos(cells: list[MeasuredCell], run: dict[str, Any]) -> Section | None:
    """success@k against the photos of a person that are looked at together; a line for each defence and leak."""
    specs = run.get("scenario", {}).get("attackers") or []
    params = {cleaned(spec["label"]): spec["params"] for spec in specs if "pool" in spec.get("params", ())}
    own = [cell for cell in cells if cell.attacker in params and cell.success]

    def line(cell: MeasuredCell) -> str:
        """What a line is about: the defence and all but the number of photos."""
        told = {name: value for name, value in params[cell.attacker].items() if name != "pool"}
        varied = [name for name in told if len({str(other.get(name)) for other in params.values()}) > 1]
        words = [f"{name} {told[name]:g}" if isinstance(told[name], float) else f"{name} {told[name]}"
                 for name in varied]  # fmt: skip
        return ", ".join([names.of_cell(cell), *words])

    def photos(cell: MeasuredCell) -> int:
        return int(params[cell.attacker]["pool"])

    axes = (*SETTING_AXES, "channel")
    whole = [
        cell
        for same in grouped(own, lambda cell: (coordinates(cell, axes), line(cell)))
        if len({photos(cell) for cell in same}) > 1
        for cell in sorted(same, key=photos)
    ]
    if not whole:
        return None
    counts = sorted({photos(cell) for cell in whole})
    looks = {**colours(dict.fromkeys(map(line, whole))), GUESSING: CHANCE}
    panels, note = panels_of(whole, SETTING_AXES)
    sizes = switched_sizes(whole)
    drawn = []
    for title, group in panels:
        rows = guesses(group, sizes, (counts[0], counts[-1]))
        for cell in group:
            rows += successes(cell, sizes, line(cell), photos(cell))
        x = Axis("photos of a person, looked at together", "count", counts)
        drawn.append(Panel(title, lines(looks, x, Axis("success@k")), rows))
    return Section(
        "pooling",
        "Several photos of a person",
        "Success of an attacker who has so many photos of each person and looks at them together. Of a part of them he "
        "may have the unprotected version (leaked).",
        keys_of(looks, looks),
        drawn,
        note=note,
        folded=True,
    )
