"""Who is ahead: defenders by their worst case, attackers by what they reach, and which differences are real.

The worst case of a defender is the largest mean success over the opponents that it met. Its interval comes from
resampling people: in every resample all means are taken anew and the largest is found anew. Whether two defenders are
told apart, and what may be said of them, are paired tests over the same people (linkbench.results.verdicts).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.leaderboard.board import Opponent, Standing, Standings
from linkbench.leaderboard.protocol import Metrics
from linkbench.metrics.comparison import all_pairs, by_person
from linkbench.metrics.intervals import SHARE, resampled_means
from linkbench.metrics.pareto import front
from linkbench.results.conclusions import ANY, together
from linkbench.results.verdicts import Photos, Protection, Question, Setting, judge

NEAR = 1e-9
"""Numbers closer than this are equal."""


class Worst(NamedTuple):
    """A defender at its worst: the number, its interval, and by whom."""

    value: float
    low: float
    high: float
    opponent: Opponent


class Place(NamedTuple):
    """A row on the list.

    rank: 1 is best, None where the row did not meet the whole panel; rank_at: the same among rows of no larger budget;
    lift: success over chance; auc: largest area under the ROC curve over all opponents; front: whether no other row is
    both linked less often and more like the original.
    """

    row: Standing
    rank: int | None
    rank_at: int | None
    worst: Worst
    lift: float
    auc: float
    front: bool


class Ranking(NamedTuple):
    """All rows of a table, best first, those without a rank last.

    apart[i][j]: whether a paired test tells the worst cases of places i and j apart, all pairs of ranked rows corrected
    together; None where nothing is known of single photos; shown: what may be said of the ranked rows.
    """

    places: list[Place]
    apart: list[list[bool | None]]
    shown: Setting | None


class AttackerPlace(NamedTuple):
    """An attacker over all defences: mean and best of its results (each the best over models), and where.

    mean_models: the mean over models as well; plain: what it reaches where nothing is defended; leads: how many
    defences have their worst case against it; best_row: the defence against which it reaches `best`.
    """

    attacker: str
    mean: float
    mean_models: float
    best: float
    best_row: Standing
    plain: float | None
    leads: int
    defences: int


def rank(table: Standings) -> Ranking:
    """The ranking of a table by worst case; ties go to the higher SSIM, then to the key of plugins and parameters."""
    worst = {row.key: worst_case(row, table.protocol.metrics, table.population) for row in table.rows}
    ranked = [row for row in table.rows if table.complete(row)]

    def order(row: Standing) -> tuple[float, float, str]:
        return round(worst[row.key].value / NEAR) * NEAR, -(row.ssim if row.ssim is not None else 0.0), row.key

    ranked.sort(key=order)
    others = sorted((row for row in table.rows if not table.complete(row)), key=order)
    best = pareto([(row.key, row.ssim, worst[row.key].value) for row in ranked])
    chance = table.protocol.metrics.k / table.protocol.metrics.n
    places = [
        Place(
            row,
            ranked.index(row) + 1 if row in ranked else None,
            _rank_at(row, ranked),
            worst[row.key],
            worst[row.key].value / chance,
            max(played.value("auc") for played in row.played.values()),
            row.key in best,
        )
        for row in [*ranked, *others]
    ]
    return Ranking(places, _apart(places, table), _shown(ranked, table))


def _rank_at(row: Standing, ranked: list[Standing]) -> int | None:
    """The rank among rows that change photos by no more than this one may."""
    if row not in ranked or row.size is None:
        return None
    same = [other for other in ranked if other.size is not None and other.size <= row.size + NEAR]
    return same.index(row) + 1


def worst_case(row: Standing, metrics: Metrics, population: int) -> Worst:
    """The largest mean success over all opponents that the row met."""
    met = list(row.played)
    values = [row.played[opponent].value() for opponent in met]
    at = max(range(len(met)), key=lambda place: values[place])  # the first of equals
    if not all(played.photos for played in row.played.values()):
        ends = list(row.played[met[at]].success.values())
        return Worst(values[at], min(end[1] for end in ends), max(end[2] for end in ends), met[at])
    means = resampled(row, met, metrics, population).max(axis=1)
    tail = (1.0 - metrics.level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Worst(values[at], min(float(low), values[at]), max(float(high), values[at]), met[at])


def resampled(row: Standing, opponents: list[Opponent], metrics: Metrics, population: int) -> Array:
    """float64 [resamples, opponents], mean success in every resample of people, mean over the seeds."""
    total = np.zeros((metrics.resamples, len(opponents)))
    for seed in row.played[opponents[0]].photos:
        seen = [row.played[opponent].photos[seed] for opponent in opponents]
        values = np.stack([cell.success(metrics, population) for cell in seen], axis=1)
        ones = np.ones(len(values))
        weights = np.stack([ones if cell.weights is None else cell.weights for cell in seen], axis=1)
        people, key = seen[0].people, seeds.derive(seed, "bootstrap")
        total += resampled_means(values, people, resamples=metrics.resamples, seed=key, weights=weights, ends=SHARE)
    means: Array = total / len(row.played[opponents[0]].photos)
    return means


def _apart(places: list[Place], table: Standings) -> list[list[bool | None]]:
    """Of every pair of places whether it is told apart: by Holm's procedure over all pairs of rows with a rank."""
    known = [at for at, place in enumerate(places) if _has_photos(place.row, [place.worst.opponent])]
    out: list[list[bool | None]] = [[None] * len(places) for _ in places]
    if not known:
        return out
    met = [_photos(places[at].row, places[at].worst.opponent, table) for at in known]
    values = by_person(
        np.stack([photos.success for photos in met], axis=1),
        met[0].identity,
        np.stack([photos.weight for photos in met], axis=1),
    )
    ranked = np.array([places[at].rank is not None for at in known])
    pairs = all_pairs(values)
    family = np.outer(ranked, ranked)
    p = np.where(family, pairs.adjusted(family), pairs.adjusted(~family))
    for (one, first), (two, second) in itertools.product(enumerate(known), repeat=2):
        out[first][second] = bool(p[one, two] <= 1.0 - table.protocol.metrics.level)
    return out


def _shown(ranked: list[Standing], table: Standings) -> Setting | None:
    """What may be said of the ranked rows against the panel; None where no two of them kept their photos."""
    rules = table.protocol.metrics
    met = {
        Protection("", row.label, row.epsilon): {
            f"{who.attacker} on {who.model}": _photos(row, who, table) for who in table.panel
        }
        for row in ranked
        if _has_photos(row, table.panel)
    }
    if len(met) < 2:
        return None
    yardstick = {Protection("", row.label, row.epsilon): row.yardstick for row in ranked}
    budget = {Protection("", row.label, row.epsilon): row.budget for row in ranked}
    place = {"cohort": "", "genomes": "", "model": ANY, "channel": table.channel}
    return judge(met, yardstick, budget, place, Question(rules.k, rules.n, rules.level, rules.resamples))


def _has_photos(row: Standing, opponents: list[Opponent]) -> bool:
    return all(who in row.played and row.played[who].photos for who in opponents)


def _photos(row: Standing, opponent: Opponent, table: Standings) -> Photos:
    """What an opponent reached with each photo of a row. People of different seeds are different people."""
    parts: list[Photos] = []
    for _, cell in sorted(row.played[opponent].photos.items()):
        weight = np.ones(len(cell.people)) if cell.weights is None else cell.weights
        success = cell.success(table.protocol.metrics, table.population)
        parts.append(Photos(success, cell.people + (len(parts) << 32), weight))
    return together(parts)


def pareto(points: list[tuple[str, float | None, float]]) -> set[str]:
    """Keys of the points (key, likeness, risk) to which no other is better in one and as good in the other."""
    known = [(key, x, y) for key, x, y in points if x is not None]
    return {known[place][0] for place in front([(x, y) for _, x, y in known], NEAR)}


def attackers(table: Standings, ranking: Ranking) -> list[AttackerPlace]:
    """All attackers, by their mean over the defences; controls count as no defence."""
    defended = [place for place in ranking.places if not place.row.control]
    plain = next((place.row for place in ranking.places if place.row.yardstick == "none"), None)
    out = []
    for name in dict.fromkeys(opponent.attacker for opponent in table.opponents):
        reached = [(place.row, own) for place in defended if (own := _against(place.row, name))]
        if not reached:
            continue
        best_row, best = max(((row, max(own)) for row, own in reached), key=lambda pair: pair[1])
        unprotected = _against(plain, name) if plain else []
        out.append(
            AttackerPlace(
                attacker=name,
                mean=sum(max(own) for _, own in reached) / len(reached),
                mean_models=sum(sum(own) / len(own) for _, own in reached) / len(reached),
                best=best,
                best_row=best_row,
                plain=max(unprotected, default=None),
                leads=sum(place.worst.opponent.attacker == name for place in defended),
                defences=len(reached),
            )
        )
    return sorted(out, key=lambda place: (-round(place.mean / NEAR), place.attacker))


def _against(row: Standing, attacker: str) -> list[float]:
    """What an attacker reaches against a row, model by model."""
    return [played.value() for opponent, played in row.played.items() if opponent.attacker == attacker]
