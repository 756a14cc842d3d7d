"""Photos that say plainly what is in them: a coloured square for each phenotype, and cohorts of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from linkbench.api.data import TEST, TRAIN, VALIDATION, Array, Artefact, Cohort, Genomes, strings
from linkbench.api.schema import Schema
from linkbench.api.training_data import Examples, Photos, TrainingData
from linkbench.plan.task import Task
from linkbench.registry.spec import Spec, parse_spec

TOY = Schema({"side": ("left", "right"), "tint": ("red", "green", "blue")})


def photos(labels: Array, seed: int = 0, size: int = 32, contrast: float = 0.5, noise: float = 0.05) -> Array:
    """uint8 [n, 3, size, size]: a square left or right in the upper half, a tinted band in the lower; and noise."""
    random = np.random.default_rng(seed)
    out = 0.5 + noise * random.standard_normal((len(labels), 3, size, size))
    quarter, half = size // 4, size // 2
    for row, (side, tint) in enumerate(labels):
        left = half * int(side) + int(random.integers(0, quarter))
        out[row, :, quarter:half, left : left + quarter] += contrast
        out[row, tint, half + quarter :] += contrast
    return (out.clip(0, 1) * 255).round().astype(np.uint8)


def labels(count: int, seed: int = 0, rare: float | None = None) -> Array:
    """int64 [count, 2]; rare: part of the photos with `right`."""
    random = np.random.default_rng(seed)
    side = random.permutation(count) % 2 if rare is None else (random.permutation(count) < rare * count).astype(int)
    return np.stack([side, random.permutation(count) % 3], axis=1).astype(np.int64)


def log_p(truth: Array) -> Array:
    """float64 [n, V]: genomes that say .9 for the true variant."""
    parts = []
    for column, variants in zip(truth.T, (TOY[name] for name in TOY), strict=True):
        part = np.full((len(truth), len(variants)), 0.1 / (len(variants) - 1))
        part[np.arange(len(truth)), column] = 0.9
        parts.append(part)
    return np.log(np.concatenate(parts, axis=1))


def examples(truth: Array, seed: int, **look: Any) -> Examples:
    return Examples(Photos(photos(truth, seed, **look)), truth.copy(), log_p(truth), np.arange(len(truth)))


def data(count: int = 64, held: int = 32, seed: int = 0, rare: float | None = None, **look: Any) -> TrainingData:
    training = examples(labels(count, 1, rare), 1, **look)
    return TrainingData(TOY, training, examples(labels(held, 2), 2, **look), training.log_p, "cpu", seed)


def cohort(count: int = 96, **look: Any) -> tuple[Artefact, Artefact]:
    """Cohort and genomes, half of the people to train, a quarter each to validate and to test."""
    truth = labels(count)
    split = np.array([TRAIN, TRAIN, VALIDATION, TEST])[np.arange(count) % 4].astype(np.int64)
    names = strings([f"p{number}" for number in range(count)])
    everybody = np.arange(count)
    people = Cohort(TOY, names, everybody, truth, everybody, split, photos(truth, **look))
    return people.artefact(), Genomes(TOY, names, log_p(truth)).artefact()


def spec(kind: str, entry: Any) -> Spec:
    specs, wrong = parse_spec(kind, entry, ())
    assert not wrong, wrong
    return specs[0]


def task(
    architecture: Any = "small-cnn",
    recipe: Any = "standard",
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    **inputs: Artefact,
) -> Task:
    if "cohort" not in inputs:
        inputs["cohort"], inputs["genomes"] = cohort()
    specs = {"architecture": spec("architecture", architecture), "recipe": spec("recipe", recipe)}
    return Task(inputs, specs, settings or {}, seed, "cpu")
