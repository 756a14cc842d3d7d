"""What a run shows: in every setting each defence against none, noise of the same budget and the others.

A setting is one cohort, one table of genomes, one channel and one model, or the strongest of all models: what was
posted in different ways is never pooled. Attackers are those that look at photos and are told nothing of the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Artefact
from linkbench.metrics import ranking
from linkbench.metrics.settings import Measure
from linkbench.plan.facts import CellFacts
from linkbench.results.cells import Value, nearest
from linkbench.results.verdicts import Finding, Photos, Protection, Question, Setting, judge

SETTING = ("cohort", "genomes", "model", "channel")
"""The coordinates of a setting."""

ANY = ""
"""Stands for the model in a setting over all models: the attacker is then the strongest with the strongest model."""

COMMON = 100
"""Conclusions are about a population of this size, or the nearest that was measured."""


def conclude(
    scenario: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    sees: Mapping[str, Iterable[str]],
    ranks: Callable[[str], Artefact],
) -> list[Setting]:
    """What every setting of a run shows, in the order of its cells; settings that no attacker met are left out.

    scenario: as resolved; cells: of run.json; sees: by attacker's label; ranks: the stored ranks of a cell by its id.
    The question is success at the smallest k in the population nearest to COMMON that every attacker was measured in.
    """
    measure = Measure.model_validate(scenario["measure"])
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for cell in cells:
        shown = set(sees[cell["attacker"]])
        if not cell["failed"] and shown and "truth" not in shown:
            groups.setdefault(tuple(str(cell[name]) for name in SETTING), []).append(cell)
    posted: dict[tuple[str, str, str], list[tuple[str, ...]]] = {}
    for cohort, genomes, model, channel in groups:
        posted.setdefault((cohort, genomes, channel), []).append((cohort, genomes, model, channel))
    for (cohort, genomes, channel), same in posted.items():
        if len(same) > 1:
            groups[cohort, genomes, ANY, channel] = [cell for place in same for cell in groups[place]]
    out = []
    for place, group in groups.items():
        files = [ranks(cell["id"]) for cell in group]
        k = min(measure.top_k)
        n = _common_size(files, measure, k)
        if n is None:
            continue
        # the seed of the table's intervals, so that the same number has the same interval there
        seed = seeds.derive(min(cell["seed"] for cell in group), "bootstrap")
        met: dict[Protection, dict[str, list[Photos]]] = {}
        yardstick, budget = {}, {}
        for cell, file in zip(group, files, strict=True):
            known = CellFacts.from_json(cell["facts"])
            poison = "" if known.unpoisoned else cell["poison"]
            defender = "" if poison and known.undefended else cell["defender"]
            protection = Protection(poison, defender, cell["epsilon"])
            yardstick[protection], budget[protection] = known.yardstick, known.budget
            attacker = cell["attacker"] if place[2] != ANY else f"{cell['attacker']} on {cell['model']}"
            met.setdefault(protection, {}).setdefault(attacker, []).append(photos_of(file, k, n))
        joined = {key: {name: together(parts) for name, parts in own.items()} for key, own in met.items()}
        question = Question(k, n, measure.level, measure.resamples, seed)
        out.append(judge(joined, yardstick, budget, dict(zip(SETTING, place, strict=True)), question))
    return out


def asked_of(rank: Artefact, measure: Measure) -> Photos | None:
    """Every photo's success as conclusions ask for it, of a cell alone; None where no population leaves a choice."""
    k = min(measure.top_k)
    n = _common_size([rank], measure, k)
    return None if n is None else photos_of(rank, k, n)


def photos_of(rank: Artefact, k: int, n: int) -> Photos:
    """Every photo's success@k in a population of n, from the stored ranks of a cell."""
    identity = np.asarray(rank.array("identity"))
    if "sampled_success" in rank.arrays:
        at = rank.array("sampled_sizes").tolist().index(n), rank.array("sampled_top_k").tolist().index(k)
        weight = (np.asarray(rank.array("sampled_draws"))[at[0]] > 0).astype(np.float64)
        return Photos(np.asarray(rank.array("sampled_success"))[at], identity, weight)
    ranks = ranking.Ranks(np.asarray(rank.array("better")), np.asarray(rank.array("tied")))
    success = ranking.success_curves(ranks, int(rank.meta["population"]), [k], [n])[0, 0]
    return Photos(success, identity, np.ones(len(identity)))


def together(parts: Sequence[Photos]) -> Photos:
    """The photos of several seeds; each seed weighs the same, and a person's photos of all seeds stay together."""
    if len(parts) == 1:
        return parts[0]
    weights = [photos.weight / max(photos.weight.sum(), 1e-12) for photos in parts]
    scale = sum(len(photos.weight) for photos in parts) / len(parts)
    return Photos(
        np.concatenate([photos.success for photos in parts]),
        np.concatenate([photos.identity for photos in parts]),
        np.concatenate(weights) * scale,
    )


def _common_size(files: Sequence[Artefact], measure: Measure, k: int) -> int | None:
    """The population size above k that is nearest to COMMON by ratio, of those in which all cells were measured."""
    sizes = [
        set(file.array("sampled_sizes").tolist())
        if "sampled_sizes" in file.arrays
        else set(measure.population_sizes(int(file.meta["population"])))
        for file in files
    ]
    shared = [n for n in set.intersection(*sizes) if n > k]
    return nearest(shared, COMMON)


def to_json(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Conclusions as run.json keeps them."""
    return [cast(dict[str, Any], _plain_data(setting)) for setting in settings]


def _plain_data(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain_data(part) for name, part in value._asdict().items()}
    return [_plain_data(part) for part in value] if isinstance(value, tuple) else value


def from_json(data: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Conclusions again, as run.json keeps them."""

    def finding(one: Mapping[str, Any]) -> Finding:
        parts = dict(one)
        parts["protection"] = Protection(**parts["protection"])
        parts["success"] = Value(**parts["success"])
        parts["change"] = None if parts["change"] is None else Value(**parts["change"])
        parts["equals"] = tuple(parts["equals"])
        return Finding(**parts)

    return [
        Setting(
            **{
                **one,
                "question": Question(**one["question"]),
                "families": tuple(one["families"]),
                "findings": tuple(finding(part) for part in one["findings"]),
                "incomplete": tuple(Protection(**part) for part in one["incomplete"]),
            }
        )
        for one in data
    ]
