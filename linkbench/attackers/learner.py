"""What attackers share that learn from labelled photos of people who are not linked: whose, and how it is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from linkbench.api.base import Attacker
from linkbench.api.data import MISSING, Array, Evidence
from linkbench.errors import InputError

FOLDS = 5
"""Parts of the attacker's own people; choices are judged on each part by what was learned from the others."""


class Learner(Attacker):
    """Learns from his own people's photos as they are, or as the tool that he meets protects them."""

    learns: Literal["clean", "protected", "best"] = Field(
        "best",
        description="from his people's photos as they are, protected by the very tool he meets, or by whichever of the "
        "two tells more about his people's protected photos, phenotype by phenotype",
    )
    people: Annotated[
        int, Field(ge=1, le=1_000_000, description="labelled people that he has; by default all who are held out")
    ] | (None) = None

    def kinds(self) -> frozenset[str]:
        """The kinds of photos that he may learn from how his predictors err."""
        return frozenset({"clean", "protected"} if self.learns == "best" else {self.learns})

    def learns_from(self) -> frozenset[str]:
        return self.kinds()


class Practice(NamedTuple):
    """The attacker's own photos, sorted for learning and for judging what was learned.

    evidence, labels: n photos, whose people are known; fold: int64 [n], photos of one person are in the same of FOLDS;
    sources: one bool [n] for each kind of photos that he may learn from; judged: bool [n], photos like those that he
    will link.
    """

    evidence: Evidence
    labels: Array
    fold: Array
    sources: list[Array]
    judged: Array

    def known(self, column: int) -> Array:
        """bool [n], whose label of a phenotype is known."""
        known: Array = self.labels[:, column] != MISSING
        return known


def practice(attacker: Learner, training: Evidence, labels: Array, kinds: frozenset[str]) -> Practice:
    """The photos, of these kinds, of as many people as the attacker has. Raises InputError if there are fewer."""
    person = np.arange(len(training)) if training.person is None else training.person
    protected = np.zeros(len(training), bool) if training.protected is None else training.protected
    people = np.unique(person)
    if attacker.people is not None and attacker.people > len(people):
        raise InputError(
            f"the attacker is to learn from {attacker.people} people, but {len(people)} are held out for him; ask for "
            f"fewer ('people'), bring a larger cohort or raise 'split.validation'"
        )
    wanted = np.isin(protected, [kind == "protected" for kind in kinds]) | (training.protected is None)
    rows = np.flatnonzero(np.isin(person, people[: attacker.people]) & wanted)
    fold = np.searchsorted(people, person[rows]) % FOLDS
    found = [kind for kind in (protected[rows], ~protected[rows]) if kind.any()]
    sources = found or [np.zeros(len(rows), bool)]
    own = replace(training.rows(rows), person=person[rows])
    return Practice(own, labels[rows], fold, sources, sources[0])
