"""What a stage is given."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.api.data import Artefact
from linkbench.registry.spec import Spec


class Part(NamedTuple):
    """Some of the photos that a stage goes through, by their place among them; it begins and ends where batches do."""

    start: int
    stop: int

    @classmethod
    def of(cls, part: Part | None, count: int) -> Part:
        """The part, or all of them."""
        return cls(0, count) if part is None else part

    def of_batches(self, batches: list[slice]) -> list[slice]:
        """The batches of the part."""
        return [batch for batch in batches if self.start <= batch.start < self.stop]


class Task(NamedTuple):
    """All that a stage may know: its inputs, plugins, settings, seed and device.

    part: of the photos, None: all; round: of a stage whose parts are gone through several times, which time it is;
    whole: what all parts of the stage have in common, in one word, by which a process knows that it has what it learned
    for another part; "" where it is carried out at once.
    """

    inputs: dict[str, Artefact]
    specs: dict[str, Spec]
    settings: dict[str, Any]
    seed: int
    device: str
    part: Part | None = None
    round: int = 0
    whole: str = ""
