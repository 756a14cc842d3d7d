"""How the protections of one setting compare, by paired tests over the same people.

Of the attackers the one counts that does best against a protection. Two families of pairs are tested, each corrected
for its number (Holm): everything against none and against noise of its budget, and the defences against each other. All
that is said within a family is right with probability `level`. Pairs that no test tells apart stay open: a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from linkbench.api.budget import Budget
from linkbench.api.data import Array
from linkbench.metrics.comparison import Pairs, all_pairs, by_person, p_values, people_needed, smallest_difference
from linkbench.metrics.intervals import DIFFERENCE, SHARE, interval
from linkbench.results.cells import Value, chance

Verdict = Literal["less", "more", "open"]
"""Whether fewer photos are linked than with the other, more, or whether that cannot be told."""


class Photos(NamedTuple):
    """What an attacker reached with each photo.

    success: expected success, float64 [n]; identity: whose photo, int64 [n]; weight: float64 [n], 0 where nothing is
    known of a photo.
    """

    success: Array
    identity: Array
    weight: Array

    @property
    def mean(self) -> float:
        """The success over all photos."""
        return float((self.success * self.weight).sum() / max(self.weight.sum(), 1e-12))


class Protection(NamedTuple):
    """How photos were protected, as people call it: by poisoning those that the attacker trained on, "" where none was;
    before they were posted, "" where a poison alone protects; epsilon as in the table."""

    poison: str
    defender: str
    epsilon: float | None


class Question(NamedTuple):
    """What is asked of every photo: success@k in a population of n; level and resamples of the intervals, and their
    seed."""

    k: int
    n: int
    level: float = 0.95
    resamples: int = 1000
    seed: int = 0


class Finding(NamedTuple):
    """One protection in a setting.

    yardstick: `none` or `noise` where it is one, else empty; attacker: who does best against it; success: what that one
    reaches; change: that less what the best reaches without a defence; against_none, against_noise: what the tests say,
    None where the other was not played (of several noises of the same budget: what holds for all); needed: how many
    people would tell it from none, None where it is told or no number would; equals: places of the defences that cannot
    be told from it.
    """

    protection: Protection
    yardstick: str
    attacker: str
    success: Value
    change: Value | None
    against_none: Verdict | None
    against_noise: Verdict | None
    needed: int | None
    equals: tuple[int, ...]


class Setting(NamedTuple):
    """What one setting shows.

    people, photos: how many; plain: place of the finding without any defence, None where there is none; above: whether
    its attacker does better than guessing, and needed: how many people would tell; families: how many pairs were tested
    together, against the yardsticks and among the defences; smallest: the difference from none that these people tell
    with a power of 80 %, for the defence in the middle, None without defences or none; findings: in the order of the
    scenario; incomplete: what met fewer attackers or people, so that it is not judged.
    """

    place: dict[str, str]
    question: Question
    people: int
    photos: int
    plain: int | None
    above: bool
    needed: int | None
    families: tuple[int, int]
    smallest: float | None
    findings: tuple[Finding, ...]
    incomplete: tuple[Protection, ...]

    @property
    def guess(self) -> float:
        """Success of guessing."""
        return chance(self.question.k, self.question.n)

    @property
    def defences(self) -> list[Finding]:
        """All but the yardsticks, those that leave least first."""
        own = [finding for finding in self.findings if not finding.yardstick]
        return sorted(own, key=lambda finding: finding.success.value)

    def leaders(self) -> list[Finding]:
        """The defences that are surely better than none and that no other is surely better than; best first."""
        best = next((finding for finding in self.defences if finding.against_none == "less"), None)
        if best is None:
            return []
        equal = [self.findings[at] for at in best.equals]
        return [best, *(other for other in self.defences if other in equal and other.against_none == "less")]

    def safest(self) -> Finding | None:
        """The one defence that is told apart from none, from noise of its budget where that was played, and from all
        other defences; None where there is no such."""
        leaders = self.leaders()
        alone = leaders and not leaders[0].equals and leaders[0].against_noise in (None, "less")
        return leaders[0] if alone else None


def judge(
    met: Mapping[Protection, Mapping[str, Photos]],
    yardstick: Mapping[Protection, str],
    budget: Mapping[Protection, Budget],
    place: dict[str, str],
    question: Question,
) -> Setting:
    """What one setting shows: every protection, by the photos that each attacker reached against it.

    yardstick: `none`, `noise` or empty; budget: of the defender. A protection that lacks attackers or people that
    others met is not judged.
    """
    attackers = max((set(own) for own in met.values()), key=len)
    identity = max((photos.identity for own in met.values() for photos in own.values()), key=len)
    whole = {
        key: max(own.items(), key=lambda item: item[1].mean)  # the strongest attacker, the first of equals
        for key, own in met.items()
        if set(own) == attackers and all(np.array_equal(photos.identity, identity) for photos in own.values())
    }
    keys, chosen = list(whole), [photos for _, photos in whole.values()]
    values = by_person(
        np.stack([photos.success for photos in chosen], axis=1),
        identity,
        np.stack([photos.weight for photos in chosen], axis=1),
    )
    tests = _Tests.of(keys, values, [yardstick[key] for key in keys], [budget[key] for key in keys], question)
    above, needed = False, None
    if tests.plain is not None:
        above, needed = _above(values[:, tests.plain], chance(question.k, question.n), question.level)
    findings = (_finding(at, tests, attacker, photos) for at, (attacker, photos) in enumerate(whole.values()))
    return Setting(
        place=place,
        question=question,
        people=len(values),
        photos=len(identity),
        plain=tests.plain,
        above=above,
        needed=needed,
        families=tests.sizes,
        smallest=tests.smallest(),
        findings=tuple(findings),
        incomplete=tuple(key for key in met if key not in whole),
    )


class _Tests(NamedTuple):
    """Everything about the pairs of a setting. values: float64 [people, R]; yardstick, rival: adjusted p-values of the
    two families, float64 [R, R]; noise: bool [R, R], whether the second is noise of the budget of the first."""

    keys: list[Protection]
    values: Array
    question: Question
    yardsticks: list[str]
    noise: Array
    pairs: Pairs
    yardstick: Array
    rival: Array
    sizes: tuple[int, int]

    @classmethod
    def of(
        cls, keys: list[Protection], values: Array, yardsticks: list[str], budgets: list[Budget], question: Question
    ) -> _Tests:
        pairs = all_pairs(values)
        noise = np.array(
            [
                [
                    not own and of == "noise" and budget.norm != "none" and budget == theirs
                    and key.poison == other.poison
                    for other, of, theirs in zip(keys, yardsticks, budgets, strict=True)
                ]
                for key, own, budget in zip(keys, yardsticks, budgets, strict=True)
            ]
        )  # fmt: skip
        against = noise | noise.T
        if "none" in yardsticks:
            plain = yardsticks.index("none")
            against[plain, :] = against[:, plain] = True
        free = np.array([not of for of in yardsticks])
        families = [np.triu(family, 1) for family in (against, np.outer(free, free))]
        sizes = int(families[0].sum()), int(families[1].sum())
        yardstick, rival = (pairs.adjusted(family) for family in families)
        return cls(keys, values, question, yardsticks, noise, pairs, yardstick, rival, sizes)

    @property
    def plain(self) -> int | None:
        """The place of the photos without a defence."""
        return self.yardsticks.index("none") if "none" in self.yardsticks else None

    def smallest(self) -> float | None:
        """The difference from none that is told in four of five cases, for the defence in the middle."""
        free = [at for at, of in enumerate(self.yardsticks) if not of]
        if self.plain is None or not free:
            return None
        deviation = float(np.median(self.pairs.deviation[free, self.plain]))
        return smallest_difference(len(self.values), deviation, (1.0 - self.question.level) / self.sizes[0])

    def verdict(self, at: int, other: int) -> Verdict:
        """Of a pair of the first family."""
        if self.yardstick[at, other] > 1.0 - self.question.level:
            return "open"
        return "less" if self.pairs.difference[at, other] < 0 else "more"


def _finding(at: int, tests: _Tests, attacker: str, photos: Photos) -> Finding:
    question, pairs, plain = tests.question, tests.pairs, tests.plain
    error = 1.0 - question.level
    change, against_none, needed = None, None, None
    if plain is not None and plain != at:
        apart = tests.values[:, [at]] - tests.values[:, [plain]]
        change = value_of(float(pairs.difference[at, plain]), apart, np.arange(len(apart)), None, DIFFERENCE, question)
        against_none = tests.verdict(at, plain)
        if against_none == "open":
            deviation = float(pairs.deviation[at, plain])
            needed = people_needed(change.value, deviation, error / tests.sizes[0])
    said = {tests.verdict(at, int(other)) for other in np.flatnonzero(tests.noise[at])}
    rivals = [] if tests.yardsticks[at] else [other for other, of in enumerate(tests.yardsticks) if not of]
    return Finding(
        protection=tests.keys[at],
        yardstick=tests.yardsticks[at],
        attacker=attacker,
        success=value_of(
            photos.mean, photos.success[:, None], photos.identity, photos.weight[:, None], SHARE, question
        ),
        change=change,
        against_none=against_none,
        against_noise=(said.pop() if len(said) == 1 else "open") if said else None,
        needed=needed,
        equals=tuple(other for other in rivals if other != at and tests.rival[at, other] > error),
    )


def value_of(
    mean: float, values: Array, identity: Array, weights: Array | None, ends: tuple[float, float], question: Question
) -> Value:
    """A mean over photos with its interval over people."""
    low, high = interval(
        values, identity, weights=weights, ends=ends,
        resamples=question.resamples, level=question.level, seed=question.seed,
    )[:, 0]  # fmt: skip
    return Value(mean, float(low), float(high))


def _above(values: Array, guess: float, level: float) -> tuple[bool, int | None]:
    """Whether the mean is surely above that of guessing, and if not, how many people would tell."""
    excess = values - guess
    mean, deviation = float(excess.mean()), float(excess.std(ddof=min(1, len(excess) - 1)))
    if mean <= 0.0:
        return False, None
    if p_values(excess[:, None], (-guess, 1.0 - guess))[0] <= 1.0 - level:
        return True, None
    return False, people_needed(mean, deviation, 1.0 - level, loudest=guess)
