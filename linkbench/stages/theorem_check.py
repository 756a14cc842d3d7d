"""The stage that holds a poison's theorem against photos: the claim, its own rule, and a trained linear model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Channel, Defender
from linkbench.api.data import TEST, TRAIN, Array, Artefact, Cohort
from linkbench.api.progress import track
from linkbench.errors import PluginError
from linkbench.plan.task import Task
from linkbench.stages.protect import batches, known_to, photos_of, pixels, published, studied

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.harness.defend import Defence

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
    from linkbench.harness.defend import Defence

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
    known = known_to(task, defender, people, seed)
    given = studied(task, defender, known, people, clean)
    defence = Defence(defender, known, f"poison {spec.label}")
    setting = _Setting(task, defence, rows, clean)
    own = np.array(people.labels[rows])
    plain = setting.shown(None, own)
    centre = plain[train].mean(axis=0)
    first, second = (defence.learn(replace(given, seed=_draw(given.seed, draw))) for draw in (0, 1))
    if _equal(first, second):
        trials = [(first, labels) for labels in _codings(people, own, phenotype, classes)]
    else:
        trials = [(None, own)] * DRAWS
    right, worst, kept = np.zeros(len(rows)), 1.0, plain
    for draw, (drawn, labels) in enumerate(track(trials)):
        learned = drawn or defence.learn(replace(given, seed=_draw(given.seed, draw)))
        out = setting.shown(learned, labels)
        hit = defender.rule(out, learned, centre) == class_numbers(labels, people.schema, phenotype)
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


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(bool((one[name] == other[name]).all()) for name in one)


class _Setting:
    """Photos that are poisoned and published again and again."""

    def __init__(self, task: Task, defence: Defence, rows: Array, clean: Array) -> None:
        self.first, self.rows, self.clean, self.device = defence, rows, clean, task.device
        self.channel: Channel = task.specs["channel"].plugin()

    def shown(self, learned: Any, labels: Array) -> Array:
        """The photos float32 [n, 3, h, w], poisoned with these labels (if something was learned) and published."""
        from linkbench.harness.defend import Defence

        known = self.first.known
        assert known.labels is not None
        coded = known.labels.copy()
        coded[self.rows] = labels
        defence = Defence(self.first.defender, known._replace(labels=coded), self.first.who, learned)
        out = []
        for part in batches(len(self.rows), self.clean.shape, self.device):
            rows = self.rows[part]
            photos = pixels(self.clean[rows], self.device)
            if learned is not None:
                photos = defence.perturb(photos, rows).photos
            out.append(published(self.channel, photos).cpu().numpy())
        return np.concatenate(out)
