"""Two runs beside each other: what differs between them, and whether that shows, cell by cell.

Cells are matched by the coordinates that vary within a run; what each run has one of, a model say, may differ. Where a
cell's photos are of the same people against the same genomes the test is paired (linkbench.metrics.comparison), else
it is Welch's with a normal approximation. Holm's correction is over all matched cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.errors import InputError
from linkbench.metrics.comparison import by_person, holm, p_values
from linkbench.metrics.intervals import DIFFERENCE, interval
from linkbench.metrics.settings import Measure
from linkbench.plan.coordinates import COORDINATES
from linkbench.results.cells import MeasuredCell, Value
from linkbench.results.conclusions import asked_alike
from linkbench.results.folder import changes
from linkbench.results.results import Results
from linkbench.results.verdicts import Photos


class Pair(NamedTuple):
    """A cell of both runs: where, success in each, the second less the first with its interval, and what a test says.

    paired: whether the people and genomes are the same; verdict: whether in the second fewer are linked, more, or that
    cannot be told.
    """

    place: dict[str, Any]
    first: float
    second: float
    change: Value
    paired: bool
    verdict: Literal["less", "more", "open"]


class Difference(NamedTuple):
    """Two runs: the question that was asked of both, what differs in words, matched cells, and how many are only in
    one of them."""

    k: int
    n: int
    level: float
    differs: list[str]
    pairs: list[Pair]
    alone: tuple[int, int]


def difference(first: Results, second: Results) -> Difference:
    """Compare two runs. Raises InputError where they have no cell, k or population size in common."""
    runs = (first, second)
    matched, alone = _matched(first.cells, second.cells)
    if not matched:
        raise InputError("the runs have no cell in common: no attacker meets the same defences in both")
    measures = [Measure.model_validate(run.run["scenario"]["measure"]) for run in runs]
    files = [
        {cell.ids[0]: run.load_ranks(cell.ids[0]) for cell in (pair[at] for pair in matched)}
        for at, run in enumerate(runs)
    ]
    k, n, asked = asked_alike(files, measures)
    level = min(measure.level for measure in measures)
    same = [_same_people(runs, pair, files) for pair in matched]
    tested = [
        _test(asked[0][one.ids[0]], asked[1][two.ids[0]], paired, level)
        for (one, two), paired in zip(matched, same, strict=True)
    ]
    adjusted = holm(np.array([p for _, p in tested]))
    pairs = []
    for (one, two), paired, (change, _), p in zip(matched, same, tested, adjusted, strict=True):
        verdict: Literal["less", "more", "open"] = "open"
        if p <= 1.0 - level:
            verdict = "less" if change.value < 0 else "more"
        means = asked[0][one.ids[0]].mean, asked[1][two.ids[0]].mean
        pairs.append(Pair(one.place, *means, change, paired, verdict))
    return Difference(k, n, level, what_differs(first.run, second.run), pairs, alone)


def _matched(
    one: list[MeasuredCell], two: list[MeasuredCell]
) -> tuple[list[tuple[MeasuredCell, MeasuredCell]], tuple[int, int]]:
    """Cells with equal coordinates, but for those of which each run has a single value."""
    single = [
        name for name in COORDINATES if all(len({cell.place[name] for cell in cells}) == 1 for cells in (one, two))
    ]
    axes = [name for name in COORDINATES if name not in single]

    def key(cell: MeasuredCell) -> tuple[Any, ...]:
        return tuple(cell.place[name] for name in axes)

    known = {key(cell): cell for cell in two}
    pairs = [(cell, known[key(cell)]) for cell in one if key(cell) in known]
    return pairs, (len(one) - len(pairs), len(two) - len(pairs))


def _same_people(
    runs: tuple[Results, Results],
    pair: tuple[MeasuredCell, MeasuredCell],
    files: list[dict[str, Any]],
) -> bool:
    """Whether both cells link the same photos of the same people to the same genomes."""
    steps = [_cohort_step(run, cell.ids[0]) for run, cell in zip(runs, pair, strict=True)]
    if not (steps[0] and steps[1]) or (
        steps[0].get("digest") != steps[1].get("digest") and _made(steps[0]) != _made(steps[1])
    ):
        return False
    ranks = [own[cell.ids[0]] for own, cell in zip(files, pair, strict=True)]
    return ranks[0].meta.get("genomes") == ranks[1].meta.get("genomes") and all(
        np.array_equal(ranks[0].array(name), ranks[1].array(name)) for name in ("photo", "identity")
    )


def _cohort_step(run: Results, cell: str) -> dict[str, Any]:
    steps: dict[str, str] = next((one["steps"] for one in run.run["cells"] if one["id"] == cell), {})
    found: dict[str, Any] = run.run["steps"].get(steps.get("cohort", ""), {})
    return found


def _made(step: Mapping[str, Any]) -> Any:
    """What made a cohort: the same code on another machine may round otherwise."""
    key = step.get("key", {})
    return [key.get("plugins"), key.get("seed"), key.get("settings")]


def _test(one: Photos, two: Photos, paired: bool, level: float) -> tuple[Value, float]:
    """How much more is linked in the second, with its interval, and the p-value of there being no difference."""
    people = [by_person(each.success[:, None], each.identity, each.weight[:, None])[:, 0] for each in (one, two)]
    change = two.mean - one.mean
    if paired:
        apart: Array = (people[1] - people[0])[:, None]
        seed = seeds.derive(0, "difference")
        low, high = interval(apart, np.arange(len(apart)), level=level, seed=seed, ends=DIFFERENCE)[:, 0]
        return Value(change, float(low), float(high)), float(p_values(apart)[0])
    error = math.hypot(*(each.std(ddof=min(1, len(each) - 1)) / math.sqrt(len(each)) for each in people))
    wide = _normal_quantile(level) * error
    p = 1.0 if error == 0.0 else math.erfc(abs(change) / error / math.sqrt(2.0))
    return Value(change, change - wide, change + wide), p


def _normal_quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2.0)


def what_differs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What the two runs did otherwise, as `scenario.seeds: [0] -> [1]`; names of runs do not count."""
    out = []
    for part in ("scenario", "versions", "device", "machine"):
        old, new = first.get(part), second.get(part)
        if part == "scenario":
            old, new = ({name: _by_label(value) for name, value in (run or {}).items() if name != "name"}
                        for run in (old, new))  # fmt: skip
        out += changes(old, new, part)
    codes = [{f"{one['kind']} {one['use']}": one["code"] for one in run.get("plugins", [])} for run in (first, second)]
    edited = [name for name in codes[0] if name in codes[1] and codes[0][name] != codes[1][name]]
    return [*out, *(f"the code of {name} differs" for name in edited)]


def _by_label(value: Any) -> Any:
    """A list of plugins or models as a mapping, so that one more of them is one difference."""
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return {f"{one.get('label', one.get('name'))} {one.get('params', {}).get('epsilon') or ''}".strip(): one
                for one in value}  # fmt: skip
    return value
