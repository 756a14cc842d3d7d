"""Validity flags: words on a row that say why its number must not be taken at face value. Pure arithmetic.

zero-gradient                    the defender follows gradients and found none: photos stayed as they were
below-quantisation               the budget is under half an 8-bit step, and publication has 8 bits: nothing survives
over-budget                      the plugin left its budget and was taken back by the harness
over-budget-after-publication    what was published differs by more than the budget and half an 8-bit step
weak-model                       without any defender, no phenotype is predicted, and nobody is identified, clearly
                                 better than by chance
weak-linkage                     without defender or poison, this attacker links no better than by chance at any size
weaker-than-noise                unaimed noise of the same budget protects better, by a paired test
black-box-beats-white-box        the same defender does better with a surrogate than with the attacker's own predictor,
                                 by a paired test
more-steps-weaker                with more steps the defender gets less far, by its own measure (measure.sanity)
more-tries-weaker                the same with more restarts
larger-budget-weaker             the same within a larger budget, or it moves fewer than half of the photos forward
random-search-stronger           random points of the budget serve the defender better than what it found
poison-...                       the three about budgets, for the poison and the photos that the attacker trained on

The tests of each kind are corrected together over all cells of a run: no such flag is wrong with probability `level`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.data import Array, Artefact
from linkbench.api.rounding import HALF_STEP, ROUNDING
from linkbench.metrics.comparison import by_person, holm, p_values, sign_test
from linkbench.plan.facts import CellFacts
from linkbench.registry.spec import Spec
from linkbench.results.verdicts import Photos

if TYPE_CHECKING:
    from linkbench.results.table import Row

ABOVE_CHANCE = 0.05
"""A predictor is clearly better than chance if its interval of balanced accuracy lies this far above it."""

STILL = 0.1
"""Gradients have vanished if more than this part of the photos did not move at all."""


class Change(NamedTuple):
    """What a plugin did to photos: its budget, and the artefact of linkbench.stages.protect.quality."""

    budget: Budget
    quality: Artefact

    def column(self, name: str) -> Array:
        return np.asarray(self.quality.array(name))

    def largest(self, name: str) -> float:
        """The largest value of a column."""
        return float(np.max(self.column(name), initial=0.0))

    def still(self) -> float:
        """The part of the photos that were left exactly as they were."""
        moved = self.column("moved")
        return float(np.mean(moved == 0)) if len(moved) else 0.0


class Facts(NamedTuple):
    """What the flags of one cell depend on besides its rows.

    cell: its plugins, budgets and channel; defender: the plugin with its parameters; needs: what it must know; spares:
    whether it leaves photos alone that are safe; chance: 1 / number of variants by phenotype; looks: whether the
    attacker looks at photos; change, poison: what was done to the linked photos and to those that the attacker trained
    on, None where nothing was changed; sanity: of linkbench.stages.sanity, where asked for; reached: what the attacker
    reached with each photo, None where not measured.
    """

    cell: CellFacts
    defender: Spec | None
    needs: frozenset[str]
    spares: bool
    chance: Mapping[str, float]
    looks: bool
    change: Change | None
    poison: Change | None = None
    sanity: Artefact | None = None
    reached: Photos | None = None

    @classmethod
    def of(
        cls,
        cell: CellFacts,
        specs: Mapping[str, Spec],
        chance: Mapping[str, float],
        quality: Artefact | None,
        poisoned: Artefact | None = None,
        sanity: Artefact | None = None,
    ) -> Facts:
        """The facts of a cell from its plugins by kind: `attacker` or `identifier`, and `defender`."""
        spec = specs.get("defender")
        defender: Defender | None = None if spec is None else spec.plugin()
        sees = specs["attacker" if "attacker" in specs else "identifier"].plugin().sees
        return cls(
            cell=cell,
            defender=spec,
            needs=frozenset() if defender is None else defender.needs,
            spares=defender is not None and defender.spares(),
            chance=chance,
            looks="identifier" in specs or bool(sees & {"variants", "probabilities"}),
            change=None if spec is None or quality is None else Change(cell.budget, quality),
            poison=None if poisoned is None else Change(cell.poison_budget, poisoned),
            sanity=sanity,
        )


def flag(rows: list[Row], facts: Mapping[str, Facts], level: float = 0.95) -> list[Row]:
    """The rows with their flags, in order; cells without facts keep none. facts: by cell id; level: of the tests."""
    cells: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        cells[row.cell].append(row)
    words = {cell: list(_alone(known)) for cell, known in facts.items() if cell in cells}
    places: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    models: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for cell in words:
        row = cells[cell][0]
        model = (row.cohort, row.genomes, row.model, row.seed)
        models[model].append(cell)
        places[(*model, row.poison, row.channel, row.attacker)].append(cell)
    for group in models.values():
        if _weak(group, cells, facts):
            for cell in group:
                words[cell].append("weak-model")
    for cell in _weakly_linked(cells, facts):
        words[cell].append("weak-linkage")
    for cell, word in _stuck({cell: facts[cell].sanity for cell in words}, level):
        words[cell].append(word)
    noise, knowledge = [], []
    for group in places.values():
        tested = [cell for cell in group if facts[cell].looks and facts[cell].reached is not None]
        noise += _with_noise(tested, facts)
        knowledge += _with_other_knowledge(tested, cells, facts)
    for cell in dict.fromkeys(weaker for weaker, _ in _surely_linked_more(noise, facts, level)):
        words[cell].append("weaker-than-noise")
    for cell in dict.fromkeys(cell for pair in _surely_linked_more(knowledge, facts, level) for cell in pair):
        words[cell].append("black-box-beats-white-box")  # both: either number may be the wrong one
    return [row._replace(flags=";".join(words[row.cell])) if words.get(row.cell) else row for row in rows]


def _alone(known: Facts) -> Iterable[str]:
    """Flags that follow from one cell alone."""
    if known.change is not None:
        still = known.change.still() > (1 - 1e-9 if known.spares else STILL)
        if known.change.budget.moves and "predictor" in known.needs and still:
            yield "zero-gradient"
        yield from _budget(known.change, known.cell.eight_bit)
    if known.poison is not None:
        for word in _budget(known.poison, known.cell.eight_bit):
            yield f"poison-{word}"


def _budget(change: Change, eight_bit: bool) -> Iterable[str]:
    """Flags about the budget of a defender or a poison, in its norm."""
    if change.largest("projected") > 0:
        yield "over-budget"
    rms, pixel = change.budget.rms(change.quality.meta["numbers"]), change.budget.pixel
    if rms is None:
        return
    if 0 < rms < HALF_STEP and eight_bit:
        yield "below-quantisation"
    # a channel that changes photos by itself (JPEG) may move one pixel further than the defender did, never all of them
    quiet = change.largest("channel") <= HALF_STEP + ROUNDING
    far = pixel is not None and quiet and change.largest("change_linf") > pixel + HALF_STEP + ROUNDING
    whole = pixel is None or not quiet or change.budget.norm in ("l2", "rms")
    if far or (whole and change.largest("change_rms") > rms + HALF_STEP + ROUNDING):
        yield "over-budget-after-publication"


SLIGHT = 0.01
"""Differences below this part of what the defender gains on average count as none."""

MORE = {"steps": "more-steps-weaker", "restarts": "more-tries-weaker", "epsilon": "larger-budget-weaker"}
"""The flag of each kind of effort, as linkbench.stages.sanity names them."""


def _stuck(tried: Mapping[str, Artefact | None], level: float) -> list[tuple[str, str]]:
    """The cells, with the flag, whose defenders get less far with more effort or than by chance: sign tests over the
    photos, all corrected together."""
    found, p = [], []
    for cell, sanity in tried.items():
        if sanity is None:
            continue
        itself, clean = sanity.array("itself"), sanity.array("clean")
        slight = SLIGHT * float(np.abs(itself - clean).mean())
        lost = {word: itself - sanity.array(name) for name, word in MORE.items() if name in sanity.arrays}
        for word, difference in (lost | {"random-search-stronger": sanity.array("random") - itself}).items():
            found.append((cell, word))
            p.append(sign_test(int((difference > slight).sum()), int((difference < -slight).sum())))
        if "epsilon" in sanity.arrays and (sanity.array("epsilon") > clean + slight).mean() < 0.5:
            found.append((cell, MORE["epsilon"]))
            p.append(0.0)
    return list(dict.fromkeys(pair for pair, each in zip(found, holm(np.array(p)), strict=True) if each <= 1.0 - level))


def _weak(group: list[str], cells: Mapping[str, list[Row]], facts: Mapping[str, Facts]) -> bool:
    """Whether a model's clean predictions, or identifications, are barely better than chance in every way."""
    seen = False
    for cell in group:
        if not (facts[cell].cell.unpoisoned and facts[cell].cell.undefended):
            continue
        for row in cells[cell]:
            metric, _, phenotype = row.metric.partition(":")
            if metric == "balanced_accuracy" and phenotype in facts[cell].chance:
                seen = True
                if row.ci_low > facts[cell].chance[phenotype] + ABOVE_CHANCE:
                    return False
            elif not facts[cell].chance and metric == "success" and row.k == 1 and row.n is not None and row.n > 1:
                seen = True
                if row.ci_low > 1 / row.n + ABOVE_CHANCE:
                    return False
    return seen


def _weakly_linked(cells: Mapping[str, list[Row]], facts: Mapping[str, Facts]) -> list[str]:
    """The cells of attackers that do nothing against plain photos: no defence can be judged by them."""
    weak: dict[tuple[Any, ...], bool] = {}
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for cell, known in facts.items():
        if cell not in cells or not known.looks or not known.chance:  # without phenotypes: identification
            continue
        row = cells[cell][0]
        key = (row.cohort, row.genomes, row.model, row.seed, row.channel, row.attacker)
        groups[key].append(cell)
        if known.cell.unpoisoned and known.cell.undefended:
            reached = [(row.ci_low, row.n) for row in cells[cell] if row.metric == "success" and row.k == 1]
            weak[key] = all(low <= 1 / n for low, n in reached if n is not None and n > 1)
    return [cell for key, group in groups.items() if weak.get(key, False) for cell in group]


Pair = tuple[str, str]
"""Two cells that differ in the defence alone."""


def _with_noise(group: list[str], facts: Mapping[str, Facts]) -> list[Pair]:
    """Every defence with every noise of its budget."""
    known = {cell: facts[cell].cell for cell in group}
    return [
        (cell, noise)
        for cell, noise in itertools.permutations(group, 2)
        if known[cell].budget.moves
        and known[cell].budget == known[noise].budget
        and not known[cell].control
        and known[noise].control
    ]


def _with_other_knowledge(group: list[str], cells: Mapping[str, list[Row]], facts: Mapping[str, Facts]) -> list[Pair]:
    """The same defender with the attacker's own predictor, and with another one."""
    same: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for cell in group:
        spec = facts[cell].defender
        if spec is not None and "predictor" in facts[cell].needs:
            params = {name: value for name, value in spec.params.items() if name != "knowledge"}
            own = spec.params.get("knowledge", "white-box") in ("white-box", cells[cell][0].model)
            same[spec.name, repr(sorted(params.items()))].append((cell, own))
    return [
        (white, black)
        for alike in same.values()
        for (white, own), (black, other) in itertools.permutations(alike, 2)
        if own and not other
    ]


def _surely_linked_more(pairs: list[Pair], facts: Mapping[str, Facts], level: float) -> list[Pair]:
    """The pairs of whose first more photos are linked than of the second, by paired tests corrected together."""
    differences = []
    for pair in pairs:
        reached = [known for cell in pair if (known := facts[cell].reached) is not None]
        values = [by_person(own.success[:, None], own.identity, own.weight[:, None])[:, 0] for own in reached]
        differences.append(values[0] - values[1])
    p = holm(np.array([p_values(difference[:, None])[0] for difference in differences]))
    return [
        pair
        for pair, difference, adjusted in zip(pairs, differences, p, strict=True)
        if difference.mean() > 0 and adjusted <= 1.0 - level
    ]
