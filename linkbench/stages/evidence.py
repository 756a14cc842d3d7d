"""What attackers are shown: evidence about the photos to be linked, and labelled photos of others to learn from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Attacker
from linkbench.api.data import Array, Artefact, Cohort, Evidence, Genomes, most_likely
from linkbench.api.schema import Schema
from linkbench.attackers.pooling import units
from linkbench.boundary.messages import Parcel
from linkbench.errors import InputError, PluginError
from linkbench.harness.proposals import Here, Proposer
from linkbench.metrics.scores import ROWS, TIE, Scores, UnsteadyScoresError
from linkbench.plan.task import Task

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
    ancestry: Array | None = None,
) -> Target:
    """Show the attacker what it asked for about the predicted photos, and nothing else.

    held_out: predictions for photos of labelled people who are not linked, `clean` and `protected`; where there are
    none, cross-fitting by identity. seed: for the order of those people, and which photos leaked; unprotected:
    predictions for the same photos without a defence; ancestry: of all genomes. Raises InputError for an attacker who
    pools photos of people of whom there is but one.
    """
    shown, photo = _Shown(attacker, people, ancestry), predicted.array("photo")
    table = np.asarray(predicted.array("probabilities"), dtype=np.float64)
    unit, leaked = units(people.identity[photo], attacker.pools()), None
    if attacker.leaks():
        assert unprotected is not None
        leaked = _leaked(people.identity[photo], attacker.leaks(), seeds.generator(seed, "leaked"))
        table = np.where(leaked[:, None], unprotected.array("probabilities"), table)
    evidence = replace(shown.evidence(photo, table), protected=None if leaked is None else ~leaked)
    if attacker.pools() > 1:
        if len(np.unique(unit)) == len(unit):
            raise InputError(
                f"the attacker is to look at {attacker.pools()} photos of a person together, but there is one photo of "
                f"each; bring a cohort with several photos of each person (rendered: 'per_identity'), or leave 'pool' "
                f"out"
            )
        evidence = replace(evidence, person=unit)
    lessons = _lessons(shown, predicted, held_out, seed, evidence)
    return Target(photo, evidence, people.truth[photo], lessons, attacker.pools() > 1)


def _leaked(identity: Array, part: float, random: np.random.Generator) -> Array:
    """bool [n], the photos that the attacker also has unprotected: of every person the same part, rounded by lot."""
    leaked = np.zeros(len(identity), dtype=bool)
    for who in np.unique(identity):
        photos = random.permutation(np.flatnonzero(identity == who))
        leaked[photos[: int(part * len(photos) + random.random())]] = True
    return leaked


def _lessons(
    shown: _Shown, predicted: Artefact, held_out: Mapping[str, Artefact], seed: int, evidence: Evidence
) -> list[Lesson]:
    everybody = np.arange(len(evidence))
    if not shown.attacker.learns_from():  # no need to keep people apart
        return [Lesson(everybody, evidence.rows(np.arange(0)), shown.people.labels[:0])]
    if held_out:
        return [Lesson(everybody, *_taught(shown, held_out, seed))]
    return _cross_fit(shown, predicted, seed)


def _taught(shown: _Shown, held_out: Mapping[str, Artefact], seed: int) -> tuple[Evidence, Array]:
    """The photos that the attacker learns from, of the kinds that it asks for, and their labels."""
    people = shown.people
    kinds = {kind: held_out[kind] for kind in sorted(shown.attacker.learns_from()) if kind in held_out}
    photo = np.concatenate([predicted.array("photo") for predicted in kinds.values()])
    probabilities = np.concatenate([np.asarray(predicted.array("probabilities")) for predicted in kinds.values()])
    protected = np.repeat(
        [kind == "protected" for kind in kinds], [len(each.array("photo")) for each in kinds.values()]
    )
    _, who = np.unique(people.identity, return_inverse=True)
    order = seeds.generator(seed, "labelled people").permutation(who.max() + 1)
    evidence = shown.evidence(photo, probabilities)
    return replace(evidence, person=order[who[photo]], protected=protected), people.labels[photo]


def _cross_fit(shown: _Shown, predicted: Artefact, seed: int) -> list[Lesson]:
    """Published predictions are those of photos as they met the world, so they count as either kind."""
    photo = predicted.array("photo")
    kind = "protected" if "protected" in shown.attacker.learns_from() else "clean"
    training, labels = _taught(shown, {kind: predicted}, seed)
    _, who = np.unique(shown.people.identity[photo], return_inverse=True)
    fold = who % FOLDS
    parts = [(np.flatnonzero(fold == part), np.flatnonzero(fold != part)) for part in range(FOLDS)]
    return [Lesson(mine, training.rows(others), labels[others]) for mine, others in parts if len(mine)]


class _Shown(NamedTuple):
    """Who is shown what: the attacker, the people, and the ancestry of all genomes where it is known."""

    attacker: Attacker
    people: Cohort
    ancestry: Array | None

    def evidence(self, photo: Array, probabilities: Array) -> Evidence:
        """What the attacker asks for about photos: rows of the cohort, int64 [n], and predictions float64 [n, V]."""
        sees, people = self.attacker.sees, self.people
        return Evidence(
            people.schema,
            len(photo),
            most_likely(probabilities, people.schema) if "variants" in sees else None,
            probabilities if "probabilities" in sees else None,
            people.labels[photo] if "truth" in sees else None,
            ancestry=self.ancestry[people.truth[photo]] if self.ancestry is not None and "ancestry" in sees else None,
        )


class Question(NamedTuple):
    """What an attacker is asked: photos with equal evidence and genomes with equal probabilities are asked about once.

    shown: what `Scoring` is made from besides; kept: float64 [C, V], the genomes; row: int64 [n], the row of each photo
    in the table of scores; column: int64 [n], that of its true genome; rows: R; weight: float64 [C], how many genomes
    share a column, or None for one each; place: int64 [M], the column of each genome, or None where it is its number;
    ancestry: int64 [C], of the genomes, where the attacker sees it.
    """

    shown: Artefact
    kept: Array
    row: Array
    column: Array
    rows: int
    weight: Array | None
    place: Array | None
    ancestry: Array | None

    def genomes(self) -> Artefact:
        """What an attacker is shown of the genomes."""
        return Artefact({"log_p": self.kept, **({} if self.ancestry is None else {"ancestry": self.ancestry})}, {})


def question(genomes: Genomes, target: Target, *, group: bool = True, hidden: bool = False) -> Question:
    """Put the question. group=False keeps a column for every genome; hidden: photos and genomes come in an order that
    only who knows the answers could work out, so that where they stand says nothing, nor does the order of calls."""
    secret = hashlib.sha256(target.truth.tobytes() + target.photo.tobytes() + genomes.ids.tobytes()).digest()
    random = np.random.default_rng(int.from_bytes(secret, "little")) if hidden else None
    row = np.empty(len(target.photo), dtype=np.int64)
    arrays: dict[str, Any] = {}
    sizes, start = [], 0
    for number, lesson in enumerate(target.lessons):
        ask = _together if target.pooled else _distinct
        asked, group_of, count = ask(target.evidence.rows(lesson.photos), random)
        row[lesson.photos] = start + group_of
        start += count
        for what, evidence in (("asked", asked), ("training", lesson.training)):
            given = {name: getattr(evidence, name) for name in PARTS}
            arrays |= {f"{number}/{what}/{name}": part for name, part in given.items() if part is not None}
        arrays[f"{number}/labels"] = lesson.labels
        sizes.append([len(asked), len(lesson.training), count])
    # only who sees it is shown the ancestry of people
    ancestry = None if target.evidence.ancestry is None else genomes.ancestry
    kept, place, weight = _group_genomes(genomes.log_p, ancestry) if group else (genomes.log_p, None, None)
    if ancestry is not None and place is not None:
        ancestry = ancestry[np.unique(place, return_index=True)[1]]
    if random is not None:
        order = random.permutation(len(kept))
        kept, weight = kept[order], None if weight is None else weight[order]
        ancestry = None if ancestry is None else ancestry[order]
        place = np.argsort(order) if place is None else np.argsort(order)[place]
    column = target.truth if place is None else place[target.truth]
    shown = Artefact(arrays, {"schema": genomes.schema.to_json(), "sizes": sizes})
    return Question(shown, kept, row, column, start, weight, place, ancestry)


def _distinct(evidence: Evidence, random: np.random.Generator | None) -> tuple[Evidence, Array, int]:
    """The evidence that differs, which of it each photo has, and how many rows of scores it has."""
    first, group_of = _group(evidence)
    if random is not None:
        order = random.permutation(len(first))
        first, group_of = first[order], np.argsort(order)[group_of]
    return evidence.rows(first), group_of, len(first)


def _together(evidence: Evidence, random: np.random.Generator | None) -> tuple[Evidence, Array, int]:
    """All of it, photos that are scored together numbered from 0; the number of each, and how many there are."""
    assert evidence.person is not None
    people, group_of = np.unique(evidence.person, return_inverse=True)
    if random is not None:
        group_of = random.permutation(len(people))[group_of]
    asked = replace(evidence, person=group_of)
    return asked if random is None else asked.rows(random.permutation(len(asked))), group_of, len(people)


class Scoring:
    """The proposer of scores. inputs: question, as `Question.shown`; genomes, as `Question.genomes`."""

    def __init__(self, task: Task, ask: Any) -> None:
        self._begin(task.specs["attacker"].plugin(), task.inputs["question"], task.inputs["genomes"])

    @classmethod
    def of(cls, attacker: Attacker, asked: Question) -> Scoring:
        """For an attacker who is in no registry."""
        made = cls.__new__(cls)
        made._begin(attacker, asked.shown, asked.genomes())
        return made

    def _begin(self, attacker: Attacker, shown: Artefact, genomes: Artefact) -> None:
        self.attacker, self.kept, self.ancestry = attacker, genomes.array("log_p"), _part(genomes, "ancestry")
        self.schema = Schema.from_json(shown.meta["schema"])
        self.parts = []
        for number, (*sizes, count) in enumerate(shown.meta["sizes"]):
            asked, training = (
                Evidence(self.schema, size, *(_part(shown, f"{number}/{what}/{name}") for name in PARTS))
                for what, size in zip(("asked", "training"), sizes, strict=True)
            )
            self.parts.append((asked, attacker.learn(training, shown.array(f"{number}/labels")), count))

    def score(self, given: Parcel) -> Parcel:
        """scores [r, m] of the rows from meta start to stop, and the genomes in columns: int64 [m], or meta first to
        last."""
        columns = given.arrays.get("columns", slice(given.meta.get("first"), given.meta.get("last")))
        ancestry = None if self.ancestry is None else self.ancestry[columns]
        some = Genomes(self.schema, np.zeros(0, "S1"), self.kept[columns], ancestry)
        found, begin = [], 0
        for evidence, learned, count in self.parts:
            start, stop = max(given.meta["start"] - begin, 0), min(given.meta["stop"] - begin, count)
            if start < stop:
                asked = evidence if (start, stop) == (0, count) else _of_rows(evidence, start, stop)
                scores = self.attacker.score(asked, some, learned)
                found.append(real_numbers(scores, (stop - start, len(some)), self.attacker))
            begin += count
        return Parcel({"scores": np.concatenate(found)}, {})

    def compete(self, given: Parcel) -> Parcel:
        """The scores [n, m] of a population after it has competed."""
        scores = given.arrays["scores"]
        return Parcel({"scores": real_numbers(self.attacker.compete(scores), scores.shape, self.attacker)}, {})


def _of_rows(evidence: Evidence, start: int, stop: int) -> Evidence:
    """The evidence behind some rows of scores: photos, or people where their photos are scored together."""
    if evidence.person is None:
        return evidence.rows(np.arange(start, stop))
    some = evidence.rows(np.flatnonzero((start <= evidence.person) & (evidence.person < stop)))
    assert some.person is not None
    return replace(some, person=some.person - start)


def _part(artefact: Artefact, name: str) -> Array | None:
    return artefact.array(name) if name in artefact.arrays else None


PARTS = ("variants", "probabilities", "truth", "person", "protected", "ancestry")
"""The arrays of an `Evidence`."""

UNSTEADY = "gave other scores when it was asked about the same photos and genomes again"

AGAIN = 64
"""Genomes that foreign code is asked about once more, in another order."""


def ranked_scores(
    there: Proposer, asked: Question, attacker: Attacker, start: int = 0, stop: int | None = None
) -> Scores:
    """The attacker's scores, computed once for photos with equal evidence and genomes with equal probabilities.

    start, stop: the rows that will be asked for; foreign code is asked about all at once where they are few. Raises
    PluginError for what is no table of scores, UnsteadyScoresError for foreign code that gives others when asked again.
    """

    def ask(rows: slice, columns: int, what: Parcel) -> Array:
        shape = (rows.stop - rows.start, columns)
        what.meta.update(start=rows.start, stop=rows.stop)
        answer = there.call("score", what, most=8 * shape[0] * shape[1])
        return check_scores(answer.arrays.get("scores"), shape, attacker)

    def block(rows: slice, columns: slice) -> Array:
        return ask(rows, columns.stop - columns.start, Parcel({}, {"first": columns.start, "last": columns.stop}))

    steady = _steady(block) if there.foreign else block
    scores = Scores(steady, asked.row, asked.column, asked.rows, len(asked.kept), asked.weight)
    if not there.foreign:
        return scores
    if (start, stop) == (0, None):
        scores = scores.held()
    few = np.random.default_rng(len(asked.kept)).permutation(len(asked.kept))[:AGAIN]
    last = asked.rows if stop is None else min(stop, asked.rows)
    for first in range(start, last, ROWS):
        rows = slice(first, min(first + ROWS, last))
        once = np.concatenate([scores.block(rows, slice(column, column + 1)) for column in few.tolist()], axis=1)
        again = ask(rows, len(few), Parcel({"columns": few}, {}))
        if (np.abs(again - once) > TIE * np.maximum(1, np.abs(once))).any():
            raise UnsteadyScoresError(UNSTEADY)
    return scores


def own_scores(attacker: Attacker, genomes: Genomes, target: Target, *, group: bool = True) -> Scores:
    """The scores of an attacker of linkbench's own, who need be in no registry."""
    asked = question(genomes, target, group=group)
    return ranked_scores(Here(Scoring.of(attacker, asked)), asked, attacker)


def _steady(block: Callable[[slice, slice], Array]) -> Callable[[slice, slice], Array]:
    """The same blocks; raises UnsteadyScoresError for one that differs from what it was before, by its digest."""
    known: dict[tuple[int, ...], bytes] = {}

    def compared(rows: slice, columns: slice) -> Array:
        found = block(rows, columns)
        digest = hashlib.sha256(np.ascontiguousarray(found).view(np.uint8).data).digest()
        if known.setdefault((rows.start, rows.stop, columns.start, columns.stop), digest) != digest:
            raise UnsteadyScoresError(UNSTEADY)
        return found

    return compared


def check_scores(scores: Any, shape: tuple[int, int], attacker: Attacker) -> Array:
    """Refuse what is no table of scores. Raises PluginError."""
    real_numbers(scores, shape, attacker)
    # one sum is quicker than a look at every score, and as NaN or infinite as any of them
    with np.errstate(all="ignore"):
        total = float(scores.sum(dtype=np.float64))
    if not math.isfinite(total):
        raise PluginError(f"{_who(attacker)} returned scores that are NaN or infinite")
    table: Array = scores
    return table


def real_numbers(scores: Any, shape: tuple[int, ...], attacker: Attacker) -> Array:
    """Refuse what is no plain array of real numbers of this shape. Raises PluginError."""
    if type(scores) is not np.ndarray or scores.shape != shape:  # a subclass may answer differently each time
        found = scores.shape if type(scores) is np.ndarray else type(scores).__name__
        raise PluginError(f"{_who(attacker)} must return scores of shape {shape}, it returned {found}")
    if scores.dtype.kind not in "fiu":
        raise PluginError(f"{_who(attacker)} must return real numbers as scores, it returned {scores.dtype}")
    return scores


def _who(attacker: Attacker) -> str:
    return f"attacker class {type(attacker).__name__}"


def _group(evidence: Evidence) -> tuple[Array, Array]:
    """First photo of each group with equal evidence, and the group of each photo."""
    seen = [part for part in (evidence.variants, evidence.probabilities, evidence.truth) if part is not None]
    if seen and evidence.protected is not None:
        seen.append(evidence.protected[:, None])
    if seen and evidence.ancestry is not None:
        seen.append(evidence.ancestry[:, None])
    if not seen:
        return np.zeros(1, np.int64), np.zeros(len(evidence), np.int64)
    _, first, group = np.unique(np.concatenate(seen, axis=1), axis=0, return_index=True, return_inverse=True)
    return first, group.reshape(-1)


def _group_genomes(log_p: Array, ancestry: Array | None) -> tuple[Array, Array | None, Array | None]:
    """Distinct rows, the row of each genome, and how often each occurs; large tables are taken as they are.

    Whether grouping pays is seen on a sample: rows of many SNPs are nearly all different. Genomes of different ancestry
    are different where that is given.
    """
    sample = log_p[:4096]
    if len(np.unique(sample, axis=0)) > len(sample) // 2:
        return log_p, None, None
    table = log_p if ancestry is None else np.concatenate([log_p, ancestry[:, None]], axis=1)
    kept, column, count = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    kept = np.ascontiguousarray(kept[:, : log_p.shape[1]])
    return kept, column.reshape(-1), count.astype(np.float64)
