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
from linkbench.errors import InputError
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
    counted: Reached,
) -> list[Setting]:
    """What every setting of a run shows, in the order of its cells; settings that no attacker met are left out.

    scenario: as resolved; cells: of run.json; sees: by attacker's label; counted: of their stored ranks.
    The question is success at the smallest k in the population nearest to COMMON that every attacker was measured in.
    """
    measure = Measure.model_validate(scenario["measure"])
    out = []
    for place, group in _settings(cells, sees).items():
        question = question_of(group, measure, counted)
        if question is not None:
            out.append(_setting(place, group, answers(group, question, counted), question))
    return out


def question_of(group: Sequence[Mapping[str, Any]], measure: Measure, counted: Reached) -> Question | None:
    """What is asked of all cells of a group; None where their populations leave no choice."""
    k = min(measure.top_k)
    n = common_size((counted.ranks(cell["id"]) for cell in group), measure, k)
    if n is None:
        return None
    # the seed of the table's intervals, so that the same number has the same interval there
    seed = seeds.derive(min(cell["seed"] for cell in group), "bootstrap")
    return Question(k, n, measure.level, measure.resamples, seed)


def answers(group: Sequence[Mapping[str, Any]], question: Question, counted: Reached) -> list[Photos]:
    """What was reached in each cell of a group."""
    return counted.of([cell["id"] for cell in group], question.k, question.n)


def _settings(
    cells: Sequence[Mapping[str, Any]], sees: Mapping[str, Iterable[str]]
) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    """The cells of every setting, and of every one over all models, whose attackers see photos and no truth."""
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
    return groups


def _setting(
    place: tuple[str, ...], group: Sequence[Mapping[str, Any]], photos: Sequence[Photos], question: Question
) -> Setting:
    """What one setting shows; photos: every photo's success, by cell."""
    met: dict[Protection, dict[str, list[Photos]]] = {}
    yardstick, budget = {}, {}
    for cell, own in zip(group, photos, strict=True):
        known = CellFacts.from_json(cell["facts"])
        protection = protection_of(cell, known)
        yardstick[protection], budget[protection] = known.yardstick, known.budget
        attacker = cell["attacker"] if place[2] != ANY else f"{cell['attacker']} on {cell['model']}"
        met.setdefault(protection, {}).setdefault(attacker, []).append(own)
    joined = {key: {name: together(parts) for name, parts in parties.items()} for key, parties in met.items()}
    return judge(joined, yardstick, budget, dict(zip(SETTING, place, strict=True)), question)


def protection_of(cell: Mapping[str, Any], facts: CellFacts) -> Protection:
    """How photos were protected in a cell of run.json."""
    poison = "" if facts.unpoisoned else cell["poison"]
    return Protection(poison, "" if poison and facts.undefended else cell["defender"], cell["epsilon"])


class Reached:
    """What the attacker of each cell reached with each photo, counted once: flags, conclusions, ladders and matrices
    ask for the same.

    ranks: the stored ranks of a cell by its id.
    """

    def __init__(self, ranks: Callable[[str], Artefact]) -> None:
        self.ranks = ranks
        self._known: dict[tuple[str, int, int], Photos] = {}

    def of(self, ids: Sequence[str], k: int, n: int) -> list[Photos]:
        """Every photo's success@k in a population of n, of several cells."""
        missing = [id_ for id_ in ids if (id_, k, n) not in self._known]
        found = reached([self.ranks(id_) for id_ in missing], k, n)
        self._known |= {(id_, k, n): photos for id_, photos in zip(missing, found, strict=True)}
        return [self._known[id_, k, n] for id_ in ids]


def asked_of(ids: Iterable[str], measure: Measure, counted: Reached) -> dict[str, Photos]:
    """Every photo's success as conclusions ask for it, by cell; none of cells whose populations leave no choice."""
    k = min(measure.top_k)
    sizes: dict[int, list[str]] = {}
    for id_ in ids:
        n = common_size([counted.ranks(id_)], measure, k)
        if n is not None:
            sizes.setdefault(n, []).append(id_)
    return {id_: photos for n, same in sizes.items() for id_, photos in zip(same, counted.of(same, k, n), strict=True)}


def asked_alike(
    runs: Sequence[Mapping[str, Artefact]], measures: Sequence[Measure]
) -> tuple[int, int, list[dict[str, Photos]]]:
    """k, n, and every photo's success by cell of several runs, in the population that all their cells were measured in.

    runs: the stored ranks of cells by id, each run with its measure. Raises InputError where no such population is.
    """
    k = max(min(measure.top_k) for measure in measures)
    sizes = [_sizes(files.values(), measure) for files, measure in zip(runs, measures, strict=True)]
    n = nearest([size for size in set.intersection(*sizes) if size > k], COMMON)
    if n is None or not all(k in measure.top_k for measure in measures):
        raise InputError("the runs have no population size and no k in common; give them the same 'measure'")
    return k, n, [dict(zip(files, reached([*files.values()], k, n), strict=True)) for files in runs]


def reached(files: Sequence[Artefact], k: int, n: int) -> list[Photos]:
    """Every photo's success@k in a population of n, from the stored ranks of cells; all cells in one go."""
    out: dict[int, Photos] = {}
    counted: dict[int, list[int]] = {}
    for at, file in enumerate(files):
        if "sampled_success" in file.arrays:
            place = file.array("sampled_sizes").tolist().index(n), file.array("sampled_top_k").tolist().index(k)
            weight = (np.asarray(file.array("sampled_draws"))[place[0]] > 0).astype(np.float64)
            out[at] = Photos(np.asarray(file.array("sampled_success"))[place], file.array("identity"), weight)
        else:
            counted.setdefault(int(file.meta["population"]), []).append(at)
    for population, places in counted.items():
        better, tied = (np.concatenate([files[at].array(name) for at in places]) for name in ("better", "tied"))
        success = ranking.success_curves(ranking.Ranks(better, tied), population, [k], [n])[0, 0]
        ends = np.cumsum([len(files[at].array("better")) for at in places])
        for at, own in zip(places, np.split(success, ends[:-1]), strict=True):
            out[at] = Photos(own, np.asarray(files[at].array("identity")), np.ones(len(own)))
    return [out[at] for at in range(len(files))]


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


def common_size(files: Iterable[Artefact], measure: Measure, k: int) -> int | None:
    """The population size above k that is nearest to COMMON by ratio, of those in which all cells were measured."""
    return nearest([n for n in _sizes(files, measure) if n > k], COMMON)


def _sizes(files: Iterable[Artefact], measure: Measure) -> set[int]:
    """The population sizes in which all cells were measured."""
    sizes = [
        set(file.array("sampled_sizes").tolist())
        if "sampled_sizes" in file.arrays
        else set(measure.population_sizes(int(file.meta["population"])))
        for file in files
    ]
    return set.intersection(*sizes)


def to_json(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Conclusions as run.json keeps them."""
    return [cast(dict[str, Any], plain_data(setting)) for setting in settings]


def plain_data(value: Any) -> Any:
    """Named tuples in named tuples as JSON."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain_data(part) for name, part in value._asdict().items()}
    return [plain_data(part) for part in value] if isinstance(value, tuple) else value


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
