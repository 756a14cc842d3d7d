"""Which networks a defence holds against: those that it saw against those that attackers have.

Every defence meets the strongest attacker with each network. Share taken away: of what the strongest attacker with the
same network gains over guessing without a defence, how much is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.metrics.intervals import SHARE, interval
from linkbench.plan.facts import CellFacts
from linkbench.results.cells import Value
from linkbench.results.conclusions import Reached, plain_data, protection_of
from linkbench.results.ladders import by_place, strongest, value_in
from linkbench.results.verdicts import Photos, Protection, Question

OWN, OTHER_SEED = "white-box", "other-seed"
"""Stand for the network of the column where a defence saw that of every attacker, or its twin of another seed."""


class Met(NamedTuple):
    """The strongest attacker with a network against a defence; taken: the share of his gain over guessing that is gone,
    None where it is unknown or where nobody is shown to gain anything without a defence."""

    attacker: str
    success: Value
    taken: Value | None


class Reach(NamedTuple):
    """What a defence, made for the networks `seen`, does against every network; None where it did not meet it."""

    protection: Protection
    seen: tuple[str, ...]
    against: tuple[Met | None, ...]


class Transfer(NamedTuple):
    """The defences of a place against the networks of attackers.

    networks: names of models; sealed: whether no defence may see them; plain: the strongest attacker with each where
    nobody defends.
    """

    place: dict[str, str]
    question: Question
    networks: tuple[str, ...]
    sealed: tuple[bool, ...]
    plain: tuple[Met | None, ...]
    reaches: tuple[Reach, ...]


def cross(
    scenario: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    sees: Mapping[str, Iterable[str]],
    counted: Reached,
) -> list[Transfer]:
    """The matrices of a run: of every place in which attackers have several networks and a defence was made for some.

    Arguments as of `linkbench.results.conclusions.conclude`.
    """
    sealed = {model["name"]: bool(model["sealed"]) for model in scenario["models"]}
    found = [_transfer(*each, sealed) for each in by_place(scenario, cells, sees, counted)]
    return [one for one in found if len(one.networks) > 1 and any(set(each.seen) - {OWN} for each in one.reaches)]


def _transfer(
    place: dict[str, str],
    group: Sequence[Mapping[str, Any]],
    photos: Sequence[Photos],
    question: Question,
    sealed: Mapping[str, bool],
) -> Transfer:
    plain: dict[str, dict[str, list[Photos]]] = {}
    met: dict[Protection, dict[str, dict[str, list[Photos]]]] = {}
    seen: dict[Protection, dict[str, tuple[str, ...]]] = {}
    for cell, own in zip(group, photos, strict=True):
        facts, network, who = CellFacts.from_json(cell["facts"]), cell["model"], cell["attacker"]
        if facts.yardstick == "none":
            plain.setdefault(network, {}).setdefault(who, []).append(own)
        elif not facts.yardstick:
            key = protection_of(cell, facts)
            seen.setdefault(key, {})[network] = facts.seen
            met.setdefault(key, {}).setdefault(network, {}).setdefault(who, []).append(own)
    networks = tuple(dict.fromkeys(str(cell["model"]) for cell in group))
    bare = {network: strongest(own) for network, own in plain.items()}
    reaches = tuple(
        Reach(
            key,
            _surrogates(seen[key]),
            tuple(
                _met(strongest(own[network]), bare.get(network), question) if network in own else None
                for network in networks
            ),
        )
        for key, own in met.items()
    )
    without = tuple(_met(bare[network], None, question) if network in bare else None for network in networks)
    return Transfer(place, question, networks, tuple(sealed[network] for network in networks), without, reaches)


def _surrogates(seen: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The networks that a defence saw, by those of the attackers; in words where each attacker's own was seen."""
    different = set(seen.values())
    if len(different) == 1 and len(seen) > 1:
        return different.pop()
    words = {network: {network: OWN, f"other seed of {network}": OTHER_SEED} for network in seen}
    return tuple(dict.fromkeys(words[network].get(name, name) for network, names in seen.items() for name in names))


def _met(found: tuple[str, Photos], plain: tuple[str, Photos] | None, question: Question) -> Met:
    attacker, photos = found
    return Met(attacker, value_in(photos, question), None if plain is None else taken_away(photos, plain[1], question))


def taken_away(photos: Photos, plain: Photos, question: Question) -> Value | None:
    """1 - (s - c) / (s0 - c), with chance c: the share of the gain s0 - c that a defence which leaves s took away.

    The interval is over people, of the ratio. None for other photos than `plain`, and where the interval of s0 - c
    reaches zero.
    """
    chance = min(1.0, question.k / question.n)
    if not np.array_equal(photos.identity, plain.identity) or value_in(plain, question).low <= chance:
        return None

    def share(means: Array) -> Array:
        gain = np.maximum(means[:, 1:] - chance, 1e-12)
        return (means[:, 1:] - means[:, :1]) / gain

    values = np.stack([photos.success, plain.success], axis=1)
    weights = np.stack([photos.weight, plain.weight], axis=1)
    low, high = interval(
        values, photos.identity, weights=weights, ends=SHARE, combine=share,
        resamples=question.resamples, level=question.level, seed=question.seed,
    )[:, 0]  # fmt: skip
    return Value(float(share(np.array([[photos.mean, plain.mean]]))[0, 0]), float(low), float(high))


def to_json(matrices: Sequence[Transfer]) -> list[dict[str, Any]]:
    """As run.json keeps them."""
    return [plain_data(matrix) for matrix in matrices]


def from_json(data: Sequence[Mapping[str, Any]]) -> list[Transfer]:
    """Again, as run.json keeps them."""

    def met(one: Mapping[str, Any] | None) -> Met | None:
        if one is None:
            return None
        taken = one["taken"]
        return Met(one["attacker"], Value(**one["success"]), None if taken is None else Value(**taken))

    return [
        Transfer(
            one["place"],
            Question(**one["question"]),
            tuple(one["networks"]),
            tuple(one["sealed"]),
            tuple(map(met, one["plain"])),
            tuple(
                Reach(Protection(**each["protection"]), tuple(each["seen"]), tuple(map(met, each["against"])))
                for each in one["reaches"]
            ),
        )
        for one in data
    ]
