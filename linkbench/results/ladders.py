"""The ladder of attackers: what each step of it leaves of a defence, and which is the first that breaks it.

A defence counts for the strongest attacker that it was played against, and what was not played is said. Steps: who
believes the predictors; who knows how they err on clean photos; on photos that the tool protected; who cleans what
he scraped; who has a network that the defence never saw; who trained his network on the tool's output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.countermeasure import Countermeasure
from linkbench.api.data import Array
from linkbench.metrics.comparison import by_person, holm, p_values
from linkbench.metrics.intervals import SHARE
from linkbench.metrics.settings import Measure
from linkbench.plan.facts import CellFacts
from linkbench.registry.registry import registry
from linkbench.registry.spec import Spec, every, nested_specs, open_fields
from linkbench.results.cells import Value
from linkbench.results.conclusions import Reached, answers, plain_data, protection_of, question_of, together
from linkbench.results.verdicts import Photos, Protection, Question, Verdict, value_of
from linkbench.scenario.file import Model

STEPS = {
    "believes": "believes the predictors",
    "clean": "calibrated on clean photos",
    "protected": "calibrated on protected photos",
    "cleaned": "cleaned",
    "unseen": "another network",
    "retrained": "retrained on the tool",
}
"""The steps in order, with what they are called."""

PLACE = ("cohort", "genomes", "channel")
"""The coordinates of a ladder: all attackers and all models are on it."""


class Rung(NamedTuple):
    """The strongest attacker of a step against a defence; verdict: whether he links fewer photos than the strongest of
    all without any defence, None where that was not played."""

    step: str
    attacker: str
    success: Value
    verdict: Verdict | None


class Climb(NamedTuple):
    """A defence and the steps that it was played against, in their order."""

    protection: Protection
    rungs: tuple[Rung, ...]

    @property
    def headline(self) -> Rung:
        """The strongest attacker of all that were played."""
        return max(self.rungs, key=lambda rung: rung.success.value)

    @property
    def broken_by(self) -> Rung | None:
        """The first step at which nothing shows that the defence helps; None where it holds off all of them."""
        return next((rung for rung in self.rungs if rung.verdict != "less"), None)

    @property
    def missing(self) -> list[str]:
        """The steps that were not played."""
        return [step for step in STEPS if step not in {rung.step for rung in self.rungs}]


class Ladder(NamedTuple):
    """What every defence of a place meets; plain: the strongest attacker without a defence."""

    place: dict[str, str]
    question: Question
    plain: Rung | None
    climbs: tuple[Climb, ...]


def step_of(facts: CellFacts, model: Model | None, models: Mapping[str, Model], learns: Iterable[str]) -> str:
    """The step that the attacker of a cell stands on.

    model: his, None for published predictions; models: all of the scenario; learns: as `Attacker.learns_from` says.
    """
    lineage = [] if model is None else list(_ancestry(model, models))
    recipes = list(every(each.recipe for each in lineage))
    if any(_knows_the_tool(spec, facts.plugins["defender"], facts.plugins["poison"]) for spec in recipes):
        return "retrained"
    if any(spec.kind == "recipe" and issubclass(_class_of(spec), Countermeasure) for spec in recipes):
        return "cleaned"
    if model is not None and facts.seen and model.name not in facts.seen:
        return "unseen"
    if "protected" in set(learns):
        return "protected"
    return "clean" if set(learns) else "believes"


def _ancestry(model: Model, models: Mapping[str, Model]) -> Iterator[Model]:
    """The model and those that its weights started from."""
    yield model
    if model.start is not None:
        yield from _ancestry(models[model.start], models)


def _class_of(spec: Spec) -> type[Any]:
    found: type[Any] = registry().load(spec.kind, spec.name)
    return found


def _knows_the_tool(spec: Spec, *tools: str) -> bool:
    """Whether a recipe trains on what one of the cell's own tools puts out."""
    if spec.kind != "recipe" or not _class_of(spec).adapts:
        return False
    named = {inner.name for _, inner in nested_specs(spec) if inner.kind == "defender"}
    return bool(open_fields(spec)) or not named.isdisjoint(tools)


def climb(
    scenario: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    sees: Mapping[str, Iterable[str]],
    counted: Reached,
) -> list[Ladder]:
    """The ladders of a run; none of published predictions, or where nothing was defended.

    Arguments as of `linkbench.results.conclusions.conclude`; each cell has its `step`.
    """
    found = [_ladder(*each) for each in by_place(scenario, cells, sees, counted)]
    return [ladder for ladder in found if ladder.climbs]


def by_place(
    scenario: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    sees: Mapping[str, Iterable[str]],
    counted: Reached,
) -> Iterator[tuple[dict[str, str], Sequence[Mapping[str, Any]], Sequence[Photos], Question]]:
    """Every PLACE with its cells whose attackers look at photos and are told nothing of the truth, what each reached,
    and what was asked of all; none of published predictions. Arguments as of `climb`."""
    measure = Measure.model_validate(scenario["measure"])
    places: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for cell in cells:
        shown = set(sees[cell["attacker"]])
        if not cell["failed"] and shown and "truth" not in shown and scenario["models"]:
            places.setdefault(tuple(str(cell[name]) for name in PLACE), []).append(cell)
    for place, group in places.items():
        question = question_of(group, measure, counted)
        if question is not None:
            yield dict(zip(PLACE, place, strict=True)), group, answers(group, question, counted), question


def _ladder(
    place: dict[str, str], group: Sequence[Mapping[str, Any]], photos: Sequence[Photos], question: Question
) -> Ladder:
    met: dict[tuple[Protection, str], dict[str, list[Photos]]] = {}
    plain: dict[str, list[Photos]] = {}
    for cell, own in zip(group, photos, strict=True):
        facts = CellFacts.from_json(cell["facts"])
        who = f"{cell['attacker']} on {cell['model']}"
        if facts.yardstick == "none":
            plain.setdefault(who, []).append(own)
        elif not facts.yardstick:
            key = protection_of(cell, facts), cell["step"]
            met.setdefault(key, {}).setdefault(who, []).append(own)
    best = {key: strongest(own) for key, own in met.items()}
    without = strongest(plain) if plain else None
    verdicts = _verdicts([own for _, own in best.values()], None if without is None else without[1], question.level)
    rungs: dict[Protection, list[Rung]] = {}
    for ((protection, step), (who, own)), verdict in zip(best.items(), verdicts, strict=True):
        rungs.setdefault(protection, []).append(Rung(step, who, value_in(own, question), verdict))
    order = list(STEPS)
    climbs = tuple(
        Climb(protection, tuple(sorted(own, key=lambda rung: order.index(rung.step))))
        for protection, own in rungs.items()
    )
    bare = None if without is None else Rung("", without[0], value_in(without[1], question), None)
    return Ladder(place, question, bare, climbs)


def strongest(met: Mapping[str, list[Photos]]) -> tuple[str, Photos]:
    """Who does best over all seeds, and what he reached; met: by attacker what he reached in each seed."""
    joined = {who: together(parts) for who, parts in met.items()}
    return max(joined.items(), key=lambda item: item[1].mean)  # the first of equals


def value_in(photos: Photos, question: Question) -> Value:
    """The success over all photos with its interval."""
    return value_of(photos.mean, photos.success[:, None], photos.identity, photos.weight[:, None], SHARE, question)


def _verdicts(rungs: Sequence[Photos], plain: Photos | None, level: float) -> list[Verdict | None]:
    """Every rung against the strongest attacker without a defence, corrected together (Holm)."""
    if plain is None:
        return [None] * len(rungs)

    def people(photos: Photos) -> Array:
        return by_person(photos.success[:, None], photos.identity, photos.weight[:, None])[:, 0]

    whole = [np.array_equal(own.identity, plain.identity) for own in rungs]
    apart = [people(own) - people(plain) for own, same in zip(rungs, whole, strict=True) if same]
    tested = [float(p_values(each[:, None])[0]) for each in apart]
    adjusted = iter(holm(np.array(tested)).tolist())
    means = iter([float(each.mean()) for each in apart])
    out: list[Verdict | None] = []
    for same in whole:  # what met other people is not judged
        p, mean = (next(adjusted), next(means)) if same else (1.0, 0.0)
        out.append(None if not same else "open" if p > 1.0 - level else "less" if mean < 0 else "more")
    return out


def to_json(ladders: Sequence[Ladder]) -> list[dict[str, Any]]:
    """As run.json keeps them."""
    return [plain_data(ladder) for ladder in ladders]


def from_json(data: Sequence[Mapping[str, Any]]) -> list[Ladder]:
    """Again, as run.json keeps them."""

    def rung(one: Mapping[str, Any]) -> Rung:
        return Rung(**{**one, "success": Value(**one["success"])})

    return [
        Ladder(
            one["place"],
            Question(**one["question"]),
            None if one["plain"] is None else rung(one["plain"]),
            tuple(Climb(Protection(**each["protection"]), tuple(map(rung, each["rungs"]))) for each in one["climbs"]),
        )
        for one in data
    ]
