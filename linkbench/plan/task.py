"""What a stage is given."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.api.data import Artefact
from linkbench.registry.spec import Spec


class Task(NamedTuple):
    """All that a stage may know: its inputs, plugins, settings, seed and device."""

    inputs: dict[str, Artefact]
    specs: dict[str, Spec]
    settings: dict[str, Any]
    seed: int
    device: str
