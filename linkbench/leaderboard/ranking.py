"""Who is ahead: defenders by their worst case, attackers by what they reach, and which differences are real.

The worst case of a defender is the largest mean success over the judging opponents: those of the protocol that link
undefended photos better than guessing does. Its interval comes from resampling people: in every resample all means are
taken anew and the largest is found anew. Whether two defenders are told apart, and what may be said of them, are paired
tests over the same people (linkbench.results.verdicts). Ranks are those within a class of budgets, and who cannot be
told apart shares one.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.leaderboard.board import Opponent, Standing, Standings
from linkbench.leaderboard.protocol import Metrics
from linkbench.metrics.comparison import all_pairs, by_person, p_values
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

    judged: whether it takes part, see `Standings.why_unranked`; rank: 1 + how many defences of its class of budgets are
    surely safer, None for yardsticks and for what takes no part; last: the last rank that it may have, once differences
    that chance explains are set aside; bound: that of its class, None for the class without one; lift: success over
    chance; auc: largest area under the ROC curve over the judging opponents; front: whether no other row is both linked
    less often and more like the original; oracle: the most that an attacker who is told something reaches, None where
    none was met.
    """

    row: Standing
    judged: bool
    rank: int | None
    last: int | None
    bound: float | None
    worst: Worst
    lift: float
    auc: float
    front: bool
    oracle: tuple[float, Opponent] | None


class Ranking(NamedTuple):
    """All rows of a table by class of budgets, best first, those that take no part last.

    judging: the opponents that count; weak: those of the protocol that cannot link undefended photos above chance;
    apart[i][j]: whether a paired test tells the worst cases of places i and j apart, all pairs of rows that take part
    corrected together; None where nothing is known of single photos; shown: what may be said of those rows; agreement:
    Kendall's tau-b between the orders of the defences in two seeds, mean over all pairs of seeds, None with one seed.
    """

    places: list[Place]
    judging: list[Opponent]
    weak: list[Opponent]
    apart: list[list[bool | None]]
    shown: Setting | None
    agreement: float | None


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
    """The ranking of a table by class and worst case; ties go to the higher SSIM, then to the key of the row.

    Rows that met no judging opponent are left out.
    """
    weak = weak_opponents(table)
    judging = [who for who in table.panel if who not in weak]
    counted = judging or table.panel  # where nobody links anything the numbers are shown, and nobody gets a rank
    rows = [row for row in table.rows if any(who in row.played for who in counted)]
    worst = {row.key: worst_case(row, counted, table.protocol.metrics, table.population) for row in rows}

    def order(row: Standing) -> tuple[bool, float, float, float, str]:
        bound = table.budget_class(row)
        group = -1.0 if row.yardstick == "none" else np.inf if bound is None else bound
        likeness = -(row.ssim if row.ssim is not None else 0.0)
        return bool(table.why_unranked(row)), group, round(worst[row.key].value / NEAR) * NEAR, likeness, row.key

    rows.sort(key=order)
    judged = [row for row in rows if judging and not table.why_unranked(row)]
    best = pareto([(row.key, row.ssim, worst[row.key].value) for row in judged])
    chance = table.protocol.metrics.k / table.protocol.metrics.n
    places = [
        Place(
            row=row,
            judged=row in judged,
            rank=None,
            last=None,
            bound=table.budget_class(row),
            worst=worst[row.key],
            lift=worst[row.key].value / chance,
            auc=max(played.value("auc") for who, played in row.played.items() if who in counted),
            front=row.key in best,
            oracle=max(((row.played[who].value(), who) for who in table.oracles if who in row.played), default=None),
        )
        for row in rows
    ]
    apart = _apart(places, table)
    defences = [row for row in judged if not row.control]
    shown = _shown(judged, judging, table)
    return Ranking(_ranked(places, apart), judging, weak, apart, shown, _agreement(defences, judging))


def _agreement(defences: list[Standing], judging: list[Opponent]) -> float | None:
    """Whether seeds put the defences in the same order; None with one seed or fewer than two defences."""
    if len(defences) < 2 or not judging:
        return None
    by_seed = [
        np.array([max(row.played[who].success[seed][0] for who in judging) for row in defences])
        for seed in defences[0].played[judging[0]].success
    ]
    found = [kendall(one, two) for one, two in itertools.combinations(by_seed, 2)]
    return sum(found) / len(found) if found else None


def kendall(one: Array, two: Array) -> float:
    """Kendall's tau-b of two lists of numbers, float64 [n] each; 0 where all of one list are equal.

    Kendall 1945, The treatment of ties in ranking problems.
    """
    signs = [np.sign(np.round((values[:, None] - values[None, :]) / NEAR)) for values in (one, two)]
    untied = [float(np.abs(sign).sum()) for sign in signs]
    if not all(untied):
        return 0.0
    return float((signs[0] * signs[1]).sum() / np.sqrt(untied[0] * untied[1]))


def weak_opponents(table: Standings) -> list[Opponent]:
    """Those of the panel that do not link undefended photos above chance, by a test at the level of the protocol."""
    plain = next((row for row in table.rows if row.yardstick == "none"), None)
    rules = table.protocol.metrics
    guess = rules.k / rules.n
    out = []
    for who in table.panel:
        if plain is None or not _has_photos(plain, [who]):
            continue
        photos = _photos(plain, who, table)
        excess = by_person(photos.success[:, None], photos.identity, photos.weight[:, None]) - guess
        if excess.mean() <= 0 or p_values(excess, (-guess, 1.0 - guess))[0] > 1.0 - rules.level:
            out.append(who)
    return out


def _ranked(places: list[Place], apart: list[list[bool | None]]) -> list[Place]:
    """The places with their ranks: yardsticks have none."""
    out = []
    for at, place in enumerate(places):
        if place.judged and not place.row.control:
            group = [i for i, other in enumerate(places)
                     if other.judged and not other.row.control and other.bound == place.bound]  # fmt: skip
            sure = [i for i in group if i != at and apart[at][i]]
            safer = sum(places[i].worst.value < place.worst.value for i in sure)
            place = place._replace(rank=1 + safer, last=len(group) - (len(sure) - safer))
        out.append(place)
    return out


def worst_case(row: Standing, judging: list[Opponent], metrics: Metrics, population: int) -> Worst:
    """The largest mean success over the judging opponents that the row met; its interval is over seeds and people."""
    met = [opponent for opponent in judging if opponent in row.played]
    values = [row.played[opponent].value() for opponent in met]
    at = max(range(len(met)), key=lambda place: values[place])  # the first of equals
    if not _has_photos(row, met):
        ends = list(row.played[met[at]].success.values())
        return Worst(values[at], min(end[1] for end in ends), max(end[2] for end in ends), met[at])
    means = resampled(row, met, metrics, population).max(axis=1)
    tail = (1.0 - metrics.level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Worst(values[at], min(float(low), values[at]), max(float(high), values[at]), met[at])


def resampled(row: Standing, opponents: list[Opponent], metrics: Metrics, population: int) -> Array:
    """float64 [resamples, opponents], mean success in every resample of seeds, and of people within each."""
    total = np.zeros((metrics.resamples, len(opponents)))
    found = list(row.played[opponents[0]].photos)
    weight = seed_weights(metrics.resamples, len(found))
    for at, seed in enumerate(found):
        seen = [row.played[opponent].photos[seed] for opponent in opponents]
        values = np.stack([cell.success(metrics, population) for cell in seen], axis=1)
        ones = np.ones(len(values))
        weights = np.stack([ones if cell.weights is None else cell.weights for cell in seen], axis=1)
        people, key = seen[0].people, seeds.derive(seed, "bootstrap")
        means = resampled_means(values, people, resamples=metrics.resamples, seed=key, weights=weights, ends=SHARE)
        total += weight[:, [at]] * means
    return total


def seed_weights(resamples: int, count: int) -> Array:
    """Random weights of seeds, float64 [resamples, count], each line with the sum 1; the same for all rows.

    Dirichlet with all parameters (count - 2) / count: then the weighted mean varies as the mean of so few seeds does.
    Of two seeds one is drawn, one alone stands for itself.
    """
    random = np.random.default_rng(seeds.derive(count, "seeds"))
    if count < 3:
        return np.eye(count)[random.integers(0, count, resamples)]
    return random.dirichlet([(count - 2) / count] * count, resamples)


def _apart(places: list[Place], table: Standings) -> list[list[bool | None]]:
    """Of every pair of places whether it is told apart: by Holm's procedure over all pairs that take part."""
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
    ranked = np.array([places[at].judged for at in known])
    pairs = all_pairs(values)
    family = np.outer(ranked, ranked)
    p = np.where(family, pairs.adjusted(family), pairs.adjusted(~family))
    for (one, first), (two, second) in itertools.product(enumerate(known), repeat=2):
        out[first][second] = bool(p[one, two] <= 1.0 - table.protocol.metrics.level)
    return out


def _shown(judged: list[Standing], judging: list[Opponent], table: Standings) -> Setting | None:
    """What may be said of the rows against the judging opponents; None where no two of them kept their photos."""
    rules = table.protocol.metrics
    met = {
        Protection("", row.label, row.epsilon): {
            f"{who.attacker} on {who.model}": _photos(row, who, table) for who in judging
        }
        for row in judged
        if _has_photos(row, judging)
    }
    if len(met) < 2:
        return None
    yardstick = {Protection("", row.label, row.epsilon): row.yardstick for row in judged}
    budget = {Protection("", row.label, row.epsilon): row.budget for row in judged}
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
    for name in dict.fromkeys(opponent.attacker for opponent in table.panel):
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
