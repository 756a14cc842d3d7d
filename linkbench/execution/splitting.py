"""A step that is carried out in parts: what is done of it, and what is still to be done."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.execution.job import Order
from linkbench.plan.task import Part
from linkbench.store.store import Store, Stored

WHOLE, JOIN = -2, -1
"""Numbers of pieces of work that are no part: a step that is not split, and the join of one that is."""


class Work(NamedTuple):
    """A piece of work: of a step, the part of this number, all of it, or the join of its parts."""

    id: str
    number: int = WHOLE

    @property
    def job(self) -> str:
        """Its name among the jobs of workers."""
        return self.id if self.number == WHOLE else f"{self.id}/{self.number}"


class Split:
    """The parts of a step, each an entry of the store, and then their join, which is the step's own entry.

    key: of the step; done: the entries of finished parts by their number; away: the pieces that workers have or
    had; noted: what was noted of its parts.
    """

    def __init__(self, key: dict[str, Any], parts: list[Part], store: Store) -> None:
        self.key, self.parts = key, parts
        self.done: dict[int, Stored] = {}
        self.away: set[int] = set()
        self.noted: set[str] = set()
        for number in range(len(parts)):
            entry = store.find(self.part_key(number))
            if entry is not None:  # an earlier run was interrupted
                self.done[number] = entry

    def part_key(self, number: int) -> dict[str, Any]:
        """The key of a part: the whole step's, and which photos."""
        return {**self.key, "part": list(self.parts[number])}

    def left(self) -> list[int]:
        """What is to be done next: the parts that are not done, then the join."""
        return [number for number in range(len(self.parts)) if number not in self.done] or [JOIN]

    def wanted(self, number: int) -> bool:
        """Whether a piece of work is still to be begun."""
        return number not in self.away and number in self.left()

    def order(self, whole: Order, number: int) -> Order:
        """The order of a piece of work, from that of the whole step."""
        if number != JOIN:
            return whole._replace(key=self.part_key(number), part=self.parts[number])
        entries = [self.done[number] for number in range(len(self.parts))]
        digests = {str(number): entry.digest for number, entry in enumerate(entries)}
        return whole._replace(inputs=digests, joins=sum(entry.seconds for entry in entries))

    def photos(self) -> tuple[int, int]:
        """How many photos are done, of how many."""
        return sum(self.parts[number].stop - self.parts[number].start for number in self.done), self.parts[-1].stop
