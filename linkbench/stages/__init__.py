"""The stages: pure functions from artefacts and parameters to an artefact.

Each takes a `Task` and is named by reference ("module:function"), so that any executor can carry it out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.registry.spec import Use
from linkbench.api.data import Artefact


class Task(NamedTuple):
    """All that a stage may know: its inputs, plugins, settings, seed and device."""

    inputs: dict[str, Artefact]
    uses: dict[str, Use]
    settings: dict[str, Any]
    seed: int
    device: str
