"""Tables in the documentation that are made from stored runs: python docs/figures.py

`python docs/figures.py add results/NAME` keeps the numbers of a finished run in docs/runs/NAME.json, nothing of single
photos; without arguments the tables between `<!-- figures: NAME -->` and `<!-- end of figures -->` are written again.
docs/check.py fails where a page says something else than the runs.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from linkbench.leaderboard.entry import text_of
from linkbench.results import folder as files
from linkbench.results.folder import write_text

DOCS = Path(__file__).parent
RUNS = DOCS / "runs"

BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)


KEPT = ((1, 10), (1, 100))
"""k and n of what is kept."""


class Layout(NamedTuple):
    """A table: success@k of n by one attacker through one channel, a line for each defence, a column for each epsilon.

    rows: what a line is called and the label of its defence in the run.
    """

    run: str
    channel: str
    attacker: str
    k: int
    n: int
    epsilons: tuple[float, ...]
    rows: dict[str, str]


FIG2 = {
    "joint attack, the paper's objective": "joint-pgd(objective=paper)",
    "joint attack, objective `rank`": "joint-pgd(objective=rank)",
    "sex alone": "single-pgd(phenotype=sex)",
    "noise": "noise",
}

ALL = {
    "noise": "noise",
    **{f"joint-pgd, {name}": f"joint-pgd(objective={name})" for name in ("paper", "expected", "rank")},
    **{f"single-pgd, {name}": f"single-pgd(phenotype={name})" for name in ("sex", "hair", "eye", "skin")},
}

TABLES = {
    "paper-fig2-photos": Layout(
        "paper-fig2-photos", "float", "predicted", 1, 10, (0.0025, 0.005, 0.01, 0.025, 0.05), FIG2
    ),
    "paper-fig2-photos-png": Layout(
        "paper-fig2-photos", "png", "predicted", 1, 10, (0.0025, 0.005, 0.01, 0.025, 0.05), FIG2
    ),
    "paper-fig2-photos-all": Layout(
        "paper-fig2-photos", "float", "predicted", 1, 10, (0.0025, 0.005, 0.01, 0.025, 0.05), ALL
    ),
    "paper-fig2-photos-all-png": Layout(
        "paper-fig2-photos", "png", "predicted", 1, 10, (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05), ALL
    ),
}
"""Every table by its name in the pages."""


def record(folder: Path) -> dict[str, Any]:
    """What is kept of a run: what it was, how many photos and people were linked, and success of every cell."""
    results = files.read(folder)
    first = results.ranks(results.cells[0])
    return {
        "name": results.run["scenario"]["name"],
        "seeds": results.run["scenario"]["seeds"],
        "device": results.run["device"],
        "versions": results.run["versions"],
        "code": {f"{one['kind']} {one['use']}": one["code"] for one in results.run["plugins"]},
        "photos": len(first["photo"]),
        "people": len(np.unique(first["identity"])),
        "cells": [
            {**{part: cell.place[part] for part in ("defender", "epsilon", "channel", "attacker")}, "k": k, "n": n,
             **{name: round(value, 6) for name, value in measured._asdict().items()}}
            for cell in results.cells for k, sizes in cell.success.items() for n, measured in sizes.items()
            if (k, n) in KEPT
        ],
    }  # fmt: skip


def block(name: str) -> str:
    """A table with the sentence above it. Raises KeyError for an unknown name or cell, StopIteration without `none`."""
    layout = TABLES[name]
    run = json.loads((RUNS / f"{layout.run}.json").read_text())
    place = {"channel": layout.channel, "attacker": layout.attacker, "k": layout.k, "n": layout.n}
    cells = [cell for cell in run["cells"] if all(cell[part] == value for part, value in place.items())]
    plain = next(cell for cell in cells if cell["defender"] == "none")
    seeds = " and ".join(map(str, run["seeds"]))
    said = (
        f"Success@{layout.k} at n = {layout.n} of the attacker `{layout.attacker}` through channel {layout.channel}, "
        f"{run['photos']} photos of {run['people']} people, seed {seeds}, {run['device'].upper()}; nobody defends: "
        f"{_number(plain['value'])} [{_number(plain['low'])}, {_number(plain['high'])}], random: "
        f"{_number(layout.k / layout.n)}."
    )
    head = f"| channel {layout.channel}, epsilon | {' | '.join(_epsilon(one) for one in layout.epsilons)} |"
    lines = [head, "|---" * (1 + len(layout.epsilons)) + "|"]
    for title, defender in layout.rows.items():
        own = {cell["epsilon"]: cell for cell in cells if cell["defender"] == defender}
        values = [_number(own[one]["value"]) if one in own else "" for one in layout.epsilons]
        if not any(values):
            raise KeyError(defender)
        lines.append(f"| {title} | {' | '.join(values)} |")
    return "\n".join([*textwrap.wrap(said, 120), "", *lines, ""])


def _number(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _epsilon(value: float) -> str:
    return f"{value:g}".removeprefix("0")


def pages() -> list[Path]:
    """The pages that may hold tables."""
    return [*sorted(DOCS.glob("*.md")), *sorted((DOCS.parent / "benchmarks").glob("*.md"))]


def written(text: str) -> str:
    """A page with its tables as the runs give them."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2])}{found[4]}", text)


def drifted() -> list[str]:
    """What is wrong with the tables, for docs/check.py."""
    wrong = []
    for page in pages():
        text = page.read_text()
        opened, closed = text.count("<!-- figures: "), len(BLOCK.findall(text))
        if opened != closed:
            wrong.append(f"{page.name}: {opened - closed} tables of figures have no end")
        try:
            if written(text) != text:
                wrong.append(f"{page.name}: figures are not those of the stored runs; run python docs/figures.py")
        except (KeyError, StopIteration, OSError) as error:
            wrong.append(f"{page.name}: a table of figures cannot be made ({error!r})")
    return wrong


def main() -> None:
    """Keep a run, or write all tables again."""
    if sys.argv[1:2] == ["add"]:
        for folder in map(Path, sys.argv[2:]):
            kept = record(folder)
            RUNS.mkdir(exist_ok=True)
            write_text(RUNS / f"{kept['name']}.json", text_of(kept))
    for page in pages():
        text = page.read_text()
        if written(text) != text:
            write_text(page, written(text))


if __name__ == "__main__":
    main()
