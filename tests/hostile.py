"""What tests of hostile plugins share: small scenarios, and the table of a run by who is in it."""

from __future__ import annotations

import csv
from pathlib import Path

SCENARIO = """
linkbench: 1
name: hostile
genomes: {{use: simulated, count: 40}}
cohort: {{use: rendered, count: 24, size: 32}}
split: {{test: 0.3, validation: 0.2}}
models: [{{name: tiny, architecture: {{use: small-cnn, width: 4}}, recipe: {{use: standard, epochs: 1}}}}]
defenders: [{defenders}]
channels: png
attackers: [{attackers}]
measure: {{resamples: 100, sizes: [5]}}
"""
TABLE = """
linkbench: 1
name: tables
genomes: {{use: simulated, count: 60}}
cohort: {{use: sampled, count: 60}}
attackers: [{attackers}]
measure: {{resamples: 100, sizes: [10], top_k: [1]}}
"""


def write_scenario(name: str, defenders: list[str], *attackers: str) -> None:
    """A scenario with photos and a network; nobody said: the attacker `predicted`."""
    text = SCENARIO.format(defenders=", ".join(defenders), attackers=", ".join(attackers or ["predicted"]))
    Path(name).write_text(text)


def write_table(name: str, *attackers: str) -> None:
    """A scenario of published predictions."""
    Path(name).write_text(TABLE.format(attackers=", ".join(attackers)))


def rows(folder: str | Path, column: str) -> dict[str, list[str]]:
    """The lines of the table by defender or attacker."""
    out: dict[str, list[str]] = {}
    with (Path(folder) / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            out.setdefault(row[column], []).append(",".join(row.values()))
    return out
