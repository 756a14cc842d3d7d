"""The background of the shipped scenario, trained beforehand: nobody has to train at the first use.

One file, written from the scenario by `python benchmarks/background.py`: networks, the photos of imaginary people who
may become decoys, and what attackers who ran the tool were taught.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from linkbench.api.data import Artefact
from linkbench.protection.background import SHIPPED, Background, background_of, scenario_of
from linkbench.store import tensorfile

FILE = "background.safetensors"


def scenario_digest() -> str:
    """SHA-256 of the scenario's file: what the background was made for."""
    return hashlib.sha256((resources.files("linkbench.protection") / SHIPPED).read_bytes()).hexdigest()


def write(path: Path, parts: Artefact) -> None:
    """Write what `carry_out` gave for the shipped scenario."""
    tensorfile.write(path, Artefact(parts.arrays, {**parts.meta, "scenario": scenario_digest()}))


def background() -> Background | None:
    """The background that comes with linkbench; None where predictors of the user's own are to judge, too: what
    attackers learn with those is not known beforehand."""
    scenario = scenario_of(None)
    with resources.as_file(resources.files("linkbench.protection") / FILE) as path:
        parts = tensorfile.read(path)
    if {model.name for model in scenario.models} != set(parts.meta["networks"]):
        return None
    return background_of(parts, scenario)
