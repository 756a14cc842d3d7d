"""The stage that holds a poison's theorem against photos: the claim, its own rule, and a trained linear model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.data import TEST, TRAIN, Array, Artefact, Cohort
from linkbench.api.progress import track
from linkbench.boundary.messages import Parcel, checked
from linkbench.errors import PluginError
from linkbench.harness.proposals import Proposer, proposing
from linkbench.plan.task import Task
from linkbench.stages.protect import (
    Perturbing,
    Publisher,
    batches,
    bytes_of,
    known_to,
    on_device,
    photos_of,
    pixels,
    publisher,
)

if TYPE_CHECKING:
    from torch import Tensor

DRAWS = 32
"""Patterns that the rule is averaged over: the repaired theorem speaks of the mean over draws of the pattern."""

MOST = 1024
"""Photos looked at, at most: the linear model is solved at once."""


def rule(task: Task) -> Artefact:
    """What a poison's theorem claims and what is true, on photos poisoned and published as for the attacker.

    The theorem's own rule needs no training and is judged on the photos of all people, over DRAWS patterns. A pattern
    without randomness is judged with both signs, where there are two classes: which one the mean shift makes brighter
    matters. The linear model is fitted to poisoned training photos (ridge regression) and judged on poisoned and on
    clean photos of the test people. Everybody is poisoned, whatever the poison's `rate`.

    arrays: photo, identity int64 [n]; rule float64 [n], how often the rule was right; tested int64 [t], positions in
    photo of the test people; linear, linear_clean float64 [t], whether the model was right. meta: phenotype (None: the
    combination of all), bound and worst (the lowest accuracy of a draw or sign). Nothing where there is no bound.
    """
    from linkbench.defenders import theorem
    from linkbench.defenders.patterns.keys import class_count, class_numbers

    spec = task.specs["defender"]
    defender: Defender = spec.plugin()
    phenotype = defender.keyed_by()
    people, _, clean = photos_of(task.inputs["cohort"])
    seed = seeds.derive(task.seed, "protect")
    classes = class_count(people.schema, phenotype)
    promised = defender.bound(int(np.prod(clean.shape[1:])), classes)
    if promised is None:
        return Artefact({}, {"bound": None})
    numbers: Array = class_numbers(people.labels, people.schema, phenotype)
    rows = _rows(numbers, task.seed)
    numbers, train, test = numbers[rows], people.split[rows] == TRAIN, people.split[rows] == TEST
    if len(np.unique(numbers[train])) < 2 or not test.any():
        raise PluginError(
            f"poison {spec.label}: too few labelled photos to hold its theorem against; bring more people"
        )
    told = known_to(task, defender, people, rows, clean, seed)
    own = np.array(people.labels[rows])
    right, worst = np.zeros(len(rows)), 1.0
    with publisher(task.specs["channel"], task.device) as channel:
        plain = np.concatenate([out.cpu().numpy() for out in channel.publish(_pixels(task, clean, rows))])
        centre = plain[train].mean(axis=0)
        with proposing(told, f"{__name__}:Proving", f"poison {spec.label}") as there:
            setting = _Setting(task, defender, there, channel, rows, clean, f"poison {spec.label}")
            given = seeds.derive(seed, "learn")
            for draw in (0, 1):
                setting.learn(_draw(given, draw), draw)
            if there.call("alike", Parcel({}, {}), most=0).meta.get("alike") is True:
                trials = _codings(people, own, phenotype, classes)
            else:
                trials = [own] * DRAWS
            kept = plain
            for draw, labels in enumerate(track(trials)):
                if len(trials) == DRAWS:
                    setting.learn(_draw(given, draw), 0)
                out = setting.shown(labels)
                hit = setting.rule(out, centre) == class_numbers(labels, people.schema, phenotype)
                right += hit
                worst = min(worst, float(hit.mean()))
                kept = out if not draw else kept
    model = theorem.least_squares(kept[train], numbers[train])
    return Artefact(
        {
            "photo": rows,
            "identity": people.identity[rows],
            "rule": right / len(trials),
            "tested": np.flatnonzero(test),
            "linear": (model(kept[test]) == numbers[test]).astype(np.float64),
            "linear_clean": (model(plain[test]) == numbers[test]).astype(np.float64),
        },
        {"phenotype": phenotype, "bound": promised, "worst": worst},
    )


def _rows(numbers: Array, seed: int) -> Array:
    """Rows of labelled photos, at most MOST of them, chosen at random."""
    return np.sort(seeds.generator(seed, "rule").permutation(np.flatnonzero(numbers >= 0))[:MOST])


def _draw(seed: int, draw: int) -> int:
    """The seed of a draw; the first is the one that poisons the attacker's photos."""
    return seeds.derive(seed, "draw", draw) if draw else seed


def _codings(people: Cohort, labels: Array, phenotype: str | None, classes: int) -> list[Array]:
    """The labels int64 [n, P], and with two classes also with these exchanged."""
    if classes != 2:
        return [labels]
    column = 0 if phenotype is None else people.schema.names.index(phenotype)
    other = labels.copy()
    other[:, column] = 1 - other[:, column]
    return [labels, other]


class Proving(Perturbing):
    """The proposer of a poison whose theorem is held against photos; see `Perturbing`."""

    def alike(self, given: Parcel) -> Parcel:
        """meta: alike, whether the same was learned under the numbers 0 and 1."""
        one, other = self.learned[0], self.learned[1]
        return Parcel({}, {"alike": all(bool((one[name] == other[name]).all()) for name in one)})

    def poison(self, given: Parcel) -> Parcel:
        """As `perturb`, with labels int64 [b, P] in the place of the true ones, by what was learned under number 0."""
        labels, self.defence.learned = self.known.labels, self.learned[0]
        if labels is not None:
            labels = labels.copy()
            labels[given.arrays["rows"]] = given.arrays["labels"]
        self.defence.known = self.known._replace(labels=labels)
        return self.perturb(given)

    def rule(self, given: Parcel) -> Parcel:
        """classes int64 [n] that the theorem's rule says of photos float32 [n, 3, h, w]; centre: as in `Defender`."""
        found = self.defender.rule(given.arrays["photos"], self.learned[0], given.arrays["centre"])
        return Parcel({"classes": np.asarray(found, dtype=np.int64)}, {})


class _Setting:
    """Photos that are poisoned and published again and again."""

    def __init__(
        self,
        task: Task,
        defender: Defender,
        there: Proposer,
        channel: Publisher,
        rows: Array,
        clean: Array,
        who: str,
    ) -> None:
        from linkbench.harness.defend import stated_budget

        self.budget, self.who = stated_budget(defender, who), who
        self.task, self.there, self.channel, self.rows, self.clean = task, there, channel, rows, clean
        self.parts = batches(len(rows), clean.shape, task.device)

    def learn(self, seed: int, number: int) -> None:
        self.there.call("learn", Parcel({}, {"seed": seed, "number": number}), most=0)

    def shown(self, labels: Array) -> Array:
        """The photos float32 [n, 3, h, w], poisoned with these labels and published."""
        return np.concatenate([out.cpu().numpy() for out in self.channel.publish(self._poisoned(labels))])

    def _poisoned(self, labels: Array) -> Iterator[Tensor]:
        from linkbench.harness.defend import settle

        waiting: deque[Tensor] = deque()

        def given() -> Iterator[Parcel]:
            for part, photos in zip(self.parts, _pixels(self.task, self.clean, self.rows), strict=True):
                waiting.append(photos)
                yield Parcel({"photos": photos, "rows": self.rows[part], "labels": labels[part]}, {})

        for answer in self.there.each("poison", given(), bytes_of(self.clean, self.parts)):
            changed = on_device(answer.arrays.get("photos"), self.task.device)
            yield settle(waiting.popleft(), changed, self.budget, self.who).photos

    def rule(self, photos: Array, centre: Array) -> Array:
        answer = self.there.call("rule", Parcel({"photos": photos, "centre": centre}, {}), most=8 * len(photos))
        return checked(answer.arrays, "classes", "int64", (len(photos),))


def _pixels(task: Task, clean: Array, rows: Array) -> Iterator[Tensor]:
    return (pixels(clean[rows[part]], task.device) for part in batches(len(rows), clean.shape, task.device))
