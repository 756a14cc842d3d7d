"""What attackers are shown: evidence about the photos to be linked, and labelled photos of others to learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Attacker
from linkbench.api.data import Array, Artefact, Cohort, Evidence, Genomes, most_likely
from linkbench.attackers.pooling import units
from linkbench.errors import InputError, PluginError
from linkbench.metrics.ranking import Scores

FOLDS = 5
"""Where no photos were held out to learn from, people are split and each part is judged by what the others teach."""


class Lesson(NamedTuple):
    """Photos (positions in the target) and the labelled photos of other people that the attacker learns from."""

    photos: Array
    training: Evidence
    labels: Array


class Target(NamedTuple):
    """The photos to be linked: row in the cohort int64 [n], evidence, row of the true genome int64 [n], lessons.

    pooled: whether `evidence.person` numbers groups of photos that are scored together.
    """

    photo: Array
    evidence: Evidence
    truth: Array
    lessons: list[Lesson]
    pooled: bool = False


def gather(
    attacker: Attacker,
    people: Cohort,
    predicted: Artefact,
    held_out: Mapping[str, Artefact],
    seed: int,
    unprotected: Artefact | None = None,
) -> Target:
    """Show the attacker what it asked for about the predicted photos, and nothing else.

    held_out: predictions for photos of labelled people who are not linked, `clean` and `protected`; where there are
    none, cross-fitting by identity. seed: for the order of those people, and which photos leaked; unprotected:
    predictions for the same photos without a defence. Raises InputError for an attacker who pools photos of people of
    whom there is but one.
    """
    photo = predicted.array("photo")
    evidence = _evidence(attacker, people, predicted)
    unit = units(people.identity[photo], attacker.pools())
    if attacker.leaks():
        assert unprotected is not None
        leaked = _leaked(people.identity[photo], attacker.leaks(), seeds.generator(seed, "leaked"))
        table = np.array(predicted.array("probabilities"), dtype=np.float64)
        table[leaked] = unprotected.array("probabilities")[leaked]
        evidence = _evidence(attacker, people, Artefact({"photo": photo, "probabilities": table}, {}))
        evidence = replace(evidence, protected=~leaked)
    if attacker.pools() > 1:
        if len(np.unique(unit)) == len(unit):
            raise InputError(
                f"the attacker is to look at {attacker.pools()} photos of a person together, but there is one photo of "
                f"each; bring a cohort with several photos of each person (rendered: 'per_identity'), or leave 'pool' "
                f"out"
            )
        evidence = replace(evidence, person=unit)
    lessons = _lessons(attacker, people, predicted, held_out, seed, evidence)
    return Target(photo, evidence, people.truth[photo], lessons, attacker.pools() > 1)


def _leaked(identity: Array, part: float, random: np.random.Generator) -> Array:
    """bool [n], the photos that the attacker also has unprotected: of every person the same part, rounded by lot."""
    leaked = np.zeros(len(identity), dtype=bool)
    for who in np.unique(identity):
        photos = random.permutation(np.flatnonzero(identity == who))
        leaked[photos[: int(part * len(photos) + random.random())]] = True
    return leaked


def _lessons(
    attacker: Attacker,
    people: Cohort,
    predicted: Artefact,
    held_out: Mapping[str, Artefact],
    seed: int,
    evidence: Evidence,
) -> list[Lesson]:
    photo = predicted.array("photo")
    if not attacker.learns_from():  # no need to keep people apart
        return [Lesson(np.arange(len(photo)), evidence.rows(np.arange(0)), people.labels[:0])]
    if held_out:
        return [Lesson(np.arange(len(photo)), *_taught(attacker, people, held_out, seed))]
    return _cross_fit(attacker, people, predicted, seed)


def _taught(attacker: Attacker, people: Cohort, held_out: Mapping[str, Artefact], seed: int) -> tuple[Evidence, Array]:
    """The photos that the attacker learns from, of the kinds that it asks for, and their labels."""
    kinds = {kind: held_out[kind] for kind in sorted(attacker.learns_from()) if kind in held_out}
    photo = np.concatenate([predicted.array("photo") for predicted in kinds.values()])
    probabilities = np.concatenate([np.asarray(predicted.array("probabilities")) for predicted in kinds.values()])
    protected = np.repeat(
        [kind == "protected" for kind in kinds], [len(each.array("photo")) for each in kinds.values()]
    )
    _, who = np.unique(people.identity, return_inverse=True)
    order = seeds.generator(seed, "labelled people").permutation(who.max() + 1)
    evidence = _evidence(attacker, people, Artefact({"photo": photo, "probabilities": probabilities}, {}))
    return replace(evidence, person=order[who[photo]], protected=protected), people.labels[photo]


def _cross_fit(attacker: Attacker, people: Cohort, predicted: Artefact, seed: int) -> list[Lesson]:
    """Published predictions are those of photos as they met the world, so they count as either kind."""
    photo = predicted.array("photo")
    kind = "protected" if "protected" in attacker.learns_from() else "clean"
    training, labels = _taught(attacker, people, {kind: predicted}, seed)
    _, who = np.unique(people.identity[photo], return_inverse=True)
    fold = who % FOLDS
    parts = [(np.flatnonzero(fold == part), np.flatnonzero(fold != part)) for part in range(FOLDS)]
    return [Lesson(mine, training.rows(others), labels[others]) for mine, others in parts if len(mine)]


def _evidence(attacker: Attacker, people: Cohort, predicted: Artefact) -> Evidence:
    photo = predicted.array("photo")
    probabilities = np.asarray(predicted.array("probabilities"), dtype=np.float64)
    sees = attacker.sees
    return Evidence(
        people.schema,
        len(photo),
        most_likely(probabilities, people.schema) if "variants" in sees else None,
        probabilities if "probabilities" in sees else None,
        people.labels[photo] if "truth" in sees else None,
    )


def ranked_scores(attacker: Attacker, genomes: Genomes, target: Target, *, group: bool = True) -> Scores:
    """The attacker's scores, computed once for photos with equal evidence and genomes with equal probabilities.

    group=False keeps a column for every genome.
    """
    row = np.empty(len(target.photo), dtype=np.int64)
    start = 0
    parts: list[tuple[Evidence, Any, int]] = []
    for lesson in target.lessons:
        evidence = target.evidence.rows(lesson.photos)
        learned = attacker.learn(lesson.training, lesson.labels)
        if target.pooled:
            assert evidence.person is not None
            _, place = np.unique(evidence.person, return_inverse=True)
            evidence = replace(evidence, person=place)
        else:
            first, place = _group(evidence)
            evidence = evidence.rows(first)
        row[lesson.photos] = start + place
        parts.append((evidence, learned, int(place.max()) + 1))
        start += parts[-1][2]
    kept, column, weight = _group_genomes(genomes) if group else (genomes.log_p, None, None)

    def block(begin: int, end: int) -> Array:
        some = Genomes(genomes.schema, genomes.ids[:0], kept[begin:end])
        return np.concatenate(
            [
                check_scores(attacker.score(evidence, some, learned), (count, len(some)), attacker)
                for evidence, learned, count in parts
            ]
        )

    true_column = target.truth if column is None else column[target.truth]
    return Scores(block, row, true_column, start, len(kept), weight)


def check_scores(scores: Any, shape: tuple[int, int], attacker: Attacker) -> Array:
    """Refuse what is no table of scores. Raises PluginError."""
    who = f"attacker class {type(attacker).__name__}"
    if type(scores) is not np.ndarray or scores.shape != shape:  # a subclass may answer differently each time
        found = scores.shape if type(scores) is np.ndarray else type(scores).__name__
        raise PluginError(f"{who} must return scores of shape {shape}, it returned {found}")
    if scores.dtype.kind not in "fiu":
        raise PluginError(f"{who} must return real numbers as scores, it returned {scores.dtype}")
    # one sum is quicker than a look at every score, and as NaN or infinite as any of them
    with np.errstate(all="ignore"):
        total = float(scores.sum(dtype=np.float64))
    if not math.isfinite(total):
        raise PluginError(f"{who} returned scores that are NaN or infinite")
    return scores


def _group(evidence: Evidence) -> tuple[Array, Array]:
    """First photo of each group with equal evidence, and the group of each photo."""
    seen = [part for part in (evidence.variants, evidence.probabilities, evidence.truth) if part is not None]
    if seen and evidence.protected is not None:
        seen.append(evidence.protected[:, None])
    if not seen:
        return np.zeros(1, np.int64), np.zeros(len(evidence), np.int64)
    _, first, group = np.unique(np.concatenate(seen, axis=1), axis=0, return_index=True, return_inverse=True)
    return first, group.reshape(-1)


def _group_genomes(genomes: Genomes) -> tuple[Array, Array | None, Array | None]:
    """Distinct rows, the row of each genome, and how often each occurs; large tables are taken as they are.

    Whether grouping pays is seen on a sample: rows of many SNPs are nearly all different.
    """
    sample = genomes.log_p[:4096]
    if len(np.unique(sample, axis=0)) > len(sample) // 2:
        return genomes.log_p, None, None
    kept, column, count = np.unique(genomes.log_p, axis=0, return_inverse=True, return_counts=True)
    return kept, column.reshape(-1), count.astype(np.float64)
