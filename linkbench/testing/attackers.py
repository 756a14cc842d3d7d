"""What linkbench expects of an attacker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import Array, Evidence, Genomes, most_likely
from linkbench.execution.stdout import captured
from linkbench.testing.check import Skip, Subject
from linkbench.testing.common import silent
from linkbench.testing.tables import SCHEMA, genomes, probabilities, variants

PHOTOS, GENOMES, TAUGHT = 6, 9, 40
SEES = {"variants", "probabilities", "truth", "ancestry"}
ANCESTRIES = np.arange(3)
LEARNS_FROM = {"clean", "protected"}

SAME = 1e-9
"""Scores that differ by less are equal."""


class Trial(NamedTuple):
    """One use of the attacker: its scores [n, m], what it had learned, and what it printed."""

    evidence: Evidence
    learned: Any
    scores: Any
    said: str


def _evidence(attacker: Attacker, count: int, seed: int) -> Evidence:
    """What the attacker asked for about photos, and nothing else; nobody can write to it."""
    predicted, truth = probabilities(count, seed), variants(count, seed + 1)
    parts = {"variants": most_likely(predicted, SCHEMA), "probabilities": predicted, "truth": truth}
    parts["ancestry"] = ANCESTRIES[np.arange(count) % len(ANCESTRIES)]
    for part in parts.values():
        part.flags.writeable = False
    return Evidence(SCHEMA, count, **{name: part for name, part in parts.items() if name in attacker.sees})


def _linked(attacker: Attacker, groups: Array) -> Evidence:
    """The photos to be linked: one of each group, or two where the attacker looks at several together."""
    several = 2 if attacker.pools() > 1 else 1
    count = several * PHOTOS
    whole = _evidence(attacker, count, 1)
    if several > 1:
        whole = replace(whole, person=np.arange(count) // several)
    if attacker.leaks():
        whole = replace(whole, protected=np.arange(count) % 2 == 0)
    some = whole.rows((several * groups[:, None] + np.arange(several)).ravel())
    return some if some.person is None else replace(some, person=np.arange(len(some)) // several)


def _lesson(attacker: Attacker) -> tuple[Evidence, Array]:
    """Photos of labelled people, two of every person, of every kind that the attacker learns from."""
    kinds = sorted(attacker.learns_from())
    person, labels = np.arange(TAUGHT) // 2, variants(TAUGHT, 6)
    training = replace(
        _evidence(attacker, TAUGHT * len(kinds), 5),
        person=np.tile(person, len(kinds)),
        protected=np.repeat([kind == "protected" for kind in kinds], TAUGHT),
    )
    return training, np.tile(labels, (len(kinds), 1))


def _genomes(order: Array | None = None) -> Genomes:
    made = genomes(GENOMES, 3)
    order = np.arange(GENOMES) if order is None else order
    log_p = made.log_p[order]
    log_p.flags.writeable = False
    return Genomes(SCHEMA, made.ids[order], log_p, ANCESTRIES[order % len(ANCESTRIES)])


def _use(attacker: Attacker) -> Trial:
    evidence, table = _linked(attacker, np.arange(PHOTOS)), _genomes()
    with captured() as printed:
        learned = attacker.learn(*_lesson(attacker))
        scores = attacker.score(evidence, table, learned)
    return Trial(evidence, learned, scores, printed.text)


def _once(subject: Subject) -> Trial:
    return _use(subject.plugin())


def _scored(subject: Subject) -> Trial:
    trial: Trial = subject.once(_once)
    _check(trial.scores, (PHOTOS, GENOMES), "score")
    return trial


def _check(scores: Any, shape: tuple[int, int], what: str) -> None:
    assert isinstance(scores, np.ndarray), f"{what} must return an array, it returned {type(scores).__name__}"
    assert scores.shape == shape, f"{what} must return the shape {shape}, it returned {scores.shape}"
    assert np.issubdtype(scores.dtype, np.floating), f"{what} must return floats, it returned {scores.dtype}"
    assert np.isfinite(scores).all(), f"{what} returned NaN or infinite scores"


def _compete(subject: Subject, scores: Array) -> Array:
    with captured():
        out: Array = subject.plugin().compete(scores.copy())
    _check(out, (len(scores), scores.shape[1]), "compete")
    return out


def it_says_what_it_sees(subject: Subject) -> None:
    """`sees` holds known words, and the attacker works with what it asked for alone."""
    wrong = set(subject.cls.sees) - SEES
    assert not wrong, f"sees holds {sorted(wrong)}; known: {', '.join(sorted(SEES))}"
    subject.once(_once)


def it_says_what_it_learns_from(subject: Subject) -> None:
    """`learns_from` holds known words, and some where `learn` is given."""
    words = subject.plugin().learns_from()
    wrong = set(words) - LEARNS_FROM
    assert not wrong, f"learns_from holds {sorted(wrong)}; known: {', '.join(sorted(LEARNS_FROM))}"
    learns = subject.cls.learn is not Attacker.learn
    assert learns or not words, f"learns_from holds {sorted(words)}, but the attacker has no `learn`"
    assert words or not learns, "the attacker has a `learn`, but learns_from is empty, so it is never given a photo"


def every_pair_has_a_score(subject: Subject) -> None:
    """float64 [n, m], finite."""
    trial = _scored(subject)
    assert trial.scores.dtype == np.float64, f"score must return float64, it returned {trial.scores.dtype}"


def same_evidence_same_bytes(subject: Subject) -> None:
    """Learned and scored twice, whatever the random generators hold."""
    one, state = _scored(subject).scores, np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        two = _use(subject.plugin()).scores
    finally:
        np.random.set_state(state)  # noqa: NPY002
    assert one.tobytes() == two.tobytes(), f"{int((one != two).sum())} scores differ between two uses"


def the_order_of_genomes_does_not_matter(subject: Subject) -> None:
    """Genomes in another order have the same scores, in that order."""
    trial, attacker = _scored(subject), subject.plugin()
    order = np.random.default_rng(2).permutation(GENOMES)
    with captured():
        other = attacker.score(trial.evidence, _genomes(order), trial.learned)
    apart = float(np.abs(other - trial.scores[:, order]).max())
    assert apart <= SAME, f"a score changes by {apart:.3g} if the genomes come in another order"


def each_pair_stands_alone(subject: Subject) -> None:
    """A score does not depend on the other photos or the other genomes."""
    trial, attacker = _scored(subject), subject.plugin()
    photos, chosen = np.array([4, 1]), np.array([7, 2, 0])
    with captured():
        other = attacker.score(_linked(attacker, photos), _genomes(chosen), trial.learned)
    apart = float(np.abs(other - trial.scores[np.ix_(photos, chosen)]).max())
    assert apart <= SAME, f"a score changes by {apart:.3g} if it is asked for with fewer photos and genomes"


def a_competition_does_not_see_the_order(subject: Subject) -> None:
    """`compete` gives the same scores whatever the order of photos and genomes."""
    if not subject.cls.joint:
        raise Skip("it is not joint: photos do not compete for genomes")
    scores = np.random.default_rng(4).normal(size=(PHOTOS, GENOMES))
    rows, columns = np.random.default_rng(5).permutation(PHOTOS), np.random.default_rng(6).permutation(GENOMES)
    one, other = _compete(subject, scores), _compete(subject, scores[np.ix_(rows, columns)])
    apart = float(np.abs(other - one[np.ix_(rows, columns)]).max())
    assert apart <= 1e-6, f"a score changes by {apart:.3g} if photos and genomes come in another order"


CHECKS = (
    it_says_what_it_sees,
    it_says_what_it_learns_from,
    every_pair_has_a_score,
    same_evidence_same_bytes,
    the_order_of_genomes_does_not_matter,
    each_pair_stands_alone,
    a_competition_does_not_see_the_order,
    silent(_once),
)
