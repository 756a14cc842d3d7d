"""How far the photos find the genome: the ranks and success curves of a scenario, for one person."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from linkbench.api.base import Attacker
from linkbench.api.data import MISSING, Array, Evidence, most_likely
from linkbench.attackers.demographics import Demographics
from linkbench.attackers.likelihood import Likelihood
from linkbench.attackers.predicted import Predicted
from linkbench.metrics import ranking
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.ranking import Ranks
from linkbench.risk.person import Pile
from linkbench.risk.reading import Reading
from linkbench.stages.evidence import Lesson, Target, own_scores

TOP_K = (1, 10)
"""The k of success@k."""

SPREAD = (0.05, 0.95)
"""Between these parts of the shots and fitting genomes lie the low and the high end."""


class Spread(NamedTuple):
    """A number from the photos as they are, and between what it lies for most other shots and genomes that fit."""

    value: float
    low: float
    high: float


class Point(NamedTuple):
    """One pile size: expected rank of the person's genome (1 is best), and success@k for every k of TOP_K."""

    size: int
    rank: Spread
    success: dict[int, Spread]


class Curve(NamedTuple):
    """One attacker: what he uses, and how he does in piles of every size."""

    attacker: str
    points: list[Point]


def sizes(people: int) -> list[int]:
    """10, 100, 1,000 .. up to the number of genomes, which comes last."""
    powers = [10**power for power in range(1, 9) if 10**power < people]
    return [*powers, people]


def curves(reading: Reading, pile: Pile) -> list[Curve]:
    """What attackers make of one predictor's reading.

    `predicted` is the paper's attacker; `likelihood` also knows how the predictor errs, where its file tells.
    """
    rows = np.vstack([reading.pooled[None], reading.views[1:]])
    out = [_curve("predicted", Predicted(), _evidence(reading, rows), pile, None)]
    if reading.learned_from is not None:
        calibrated = Likelihood(learns="clean")
        out.append(_curve("likelihood", calibrated, _evidence(reading, rows), pile, reading.learned_from))
    return out


def demographics(pile: Pile) -> Curve | None:
    """The attacker `demographics`, who knows the sex and looks at no photo; None where it is not told."""
    names = pile.genomes.schema.names
    if "sex" not in names or pile.known[names.index("sex")] == MISSING:
        return None
    return _curve("demographics", Demographics(), Evidence(pile.genomes.schema, 1, truth=pile.known[None]), pile, None)


def _evidence(reading: Reading, probabilities: Array) -> Evidence:
    variants = most_likely(probabilities, reading.schema)
    return Evidence(reading.schema, len(probabilities), variants, probabilities)


def _curve(
    name: str, attacker: Attacker, evidence: Evidence, pile: Pile, learned_from: tuple[Evidence, Array] | None
) -> Curve:
    """Every shot against every genome that the person may have; the first shot is the photos as they are."""
    shots, genomes = len(evidence), len(pile.own)
    training, labels = learned_from or (evidence.rows(np.arange(0)), np.zeros((0, len(pile.genomes.schema)), np.int64))
    every = np.repeat(np.arange(shots), genomes)
    target = Target(
        every,
        evidence.rows(every),
        np.tile(pile.own, shots),
        [Lesson(np.arange(len(every)), training, labels)],
    )
    ranks = count_ranks(own_scores(attacker, pile.genomes, target))
    people = len(pile.genomes)
    measured = sizes(people)
    success = ranking.success_curves(ranks, people, TOP_K, measured)
    points = [
        Point(
            size,
            _spread(_expected_rank(ranks, people, size), genomes),
            {k: _spread(success[number, place], genomes) for number, k in enumerate(TOP_K)},
        )
        for place, size in enumerate(measured)
    ]
    return Curve(name, points)


def _expected_rank(ranks: Ranks, people: int, size: int) -> Array:
    """float64 [N]: in a random pile of that size the others are a random part of all others."""
    expected: Array = 1.0 + (ranks.expected - 1.0) * (size - 1) / max(people - 1, 1)
    return expected


def _spread(values: Array, genomes: int) -> Spread:
    """values: [shots * genomes], shot by shot."""
    low, high = np.quantile(values, SPREAD)
    value = float(values[:genomes].mean())
    return Spread(value, min(float(low), value), max(float(high), value))
