"""How long stages will take, judging by how long such stages took before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

from linkbench.plan.builder import Step
from linkbench.store.store import KEY_VERSION, Stored, canonical

MOST = 5_000
"""Past stages that are looked at, those of the latest use."""


class Past:
    """Seconds that past stages took, by all that they have in common with one to come."""

    def __init__(self, entries: Iterable[Stored]) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        for key, _, seconds in entries:
            if key.get("key") != KEY_VERSION:
                continue
            for likeness in _likenesses(key["stage"], key["plugins"], key["settings"], key["device"]):
                self.seconds[likeness].append(float(seconds))

    def estimate(self, step: Step, device: str) -> float | None:
        """Seconds for a step: the median of the past stages most like it; None where there was no such stage.

        Most like: the same plugins, parameters and settings; else the same plugins; else only the same stage, always on
        the same kind of device. Their inputs may have been of another size.
        """
        plugins = {role: spec.identity() for role, spec in step.specs.items()}
        where = device.partition(":")[0] if step.on_device else "any"
        for likeness in _likenesses(step.stage, plugins, step.settings, where):
            if likeness in self.seconds:
                return median(self.seconds[likeness])
        return None


def _likenesses(stage: str, plugins: dict[str, dict[str, Any]], settings: Any, device: str) -> Iterable[str]:
    """What a stage has in common with others, the most first."""
    names = {role: plugin["use"] for role, plugin in plugins.items()}
    yield canonical([stage, device, names, {role: plugin["params"] for role, plugin in plugins.items()}, settings])
    yield canonical([stage, device, names])
    yield canonical([stage, device])
