"""A step that is carried out in parts: what is done of it, and what is still to be done."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.execution.job import Joined, Order
from linkbench.stages.parts import Cut
from linkbench.store.store import Store, Stored, digest_of

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

    Where parts are gone through in several rounds, each round has its join, which the next one is told. key: of the
    step; cut: how it is cut; round: which one it is; known: the entry of the join before; done: the entries of finished
    parts of this round by their number; passed: all entries that are of no use once the step is done; away: the pieces
    that workers have or had; noted: what was noted of its parts.
    """

    def __init__(self, key: dict[str, Any], cut: Cut, store: Store) -> None:
        self.key, self.cut = key, cut
        self.round = 0
        self.known: Stored | None = None
        self.done: dict[int, Stored] = {}
        self.passed: list[Stored] = []
        self.away: set[int] = set()
        self.noted: set[str] = set()
        for earlier in reversed(range(cut.rounds - 1)):  # an earlier run was interrupted
            if (entry := store.find(self._after(earlier))) is not None:
                self.advance(entry, earlier + 1, store)
                return
        self._look_up(store)

    def advance(self, known: Stored, turn: int, store: Store) -> None:
        """Go on with a round, told what is known from those before."""
        self.passed += [known, *self.done.values()]
        self.known, self.round, self.done, self.away = known, turn, {}, set()
        self._look_up(store)

    def _look_up(self, store: Store) -> None:
        for number in range(len(self.cut.parts)):
            entry = store.find(self.key_of(number))
            if entry is not None:
                self.done[number] = entry

    def _after(self, turn: int) -> dict[str, Any]:
        return {**self.key, "after": turn}

    @property
    def last(self) -> bool:
        """Whether no round follows."""
        return self.round == self.cut.rounds - 1

    def key_of(self, number: int) -> dict[str, Any]:
        """The key of a piece of work: the whole step's, which round where another follows, and which photos."""
        if number == JOIN:
            return self.key if self.last else self._after(self.round)
        turn = {} if self.cut.rounds == 1 else {"round": self.round}
        return {**self.key, "part": list(self.cut.parts[number]), **turn}

    def left(self) -> list[int]:
        """What is to be done next: the parts that are not done, then the join."""
        return [number for number in range(len(self.cut.parts)) if number not in self.done] or [JOIN]

    def wanted(self, number: int) -> bool:
        """Whether a piece of work is still to be begun."""
        return number not in self.away and number in self.left()

    def order(self, whole: Order, number: int) -> Order:
        """The order of a piece of work, from that of the whole step."""
        inputs, seconds = dict(whole.inputs), 0.0
        if self.known is not None:
            inputs["known"] = self.known.digest
            seconds = self.known.seconds
        order = whole._replace(key=self.key_of(number), inputs=inputs, round=self.round)
        if number != JOIN:
            return order._replace(part=self.cut.parts[number], whole=digest_of(self.key))
        if self.cut.rounds == 1:  # the parts have all that there is
            order.inputs.clear()
        entries = [self.done[number] for number in range(len(self.cut.parts))]
        seconds += sum(entry.seconds for entry in entries)
        return order._replace(joins=Joined([entry.digest for entry in entries], seconds))

    def missed(self, name: str, store: Store) -> bool:
        """Whether a piece of work that the store had lost, by its name among the inputs, was one of these."""
        if name == "known" and self.known is not None:
            store.forget(self.known.key)
        elif name.isdecimal():
            store.forget(self.key_of(int(name)))
        else:
            return False
        return True

    def entries(self) -> list[Stored]:
        """All entries that are of no use once the step is done."""
        return [*self.passed, *self.done.values()]

    def photos(self) -> tuple[int, int]:
        """How many photos are done, of how many, all rounds together."""
        total = self.cut.parts[-1].stop
        here = sum(self.cut.parts[number].stop - self.cut.parts[number].start for number in self.done)
        return self.round * total + here, self.cut.rounds * total
