"""Validity flags: words on a row that say why its number must not be taken at face value. Pure arithmetic.

zero-gradient                    the defender follows gradients and found none: photos stayed as they were
below-quantisation               the budget is under half an 8-bit step, and publication has 8 bits: nothing survives
over-budget                      the plugin left its budget and was taken back by the harness
over-budget-after-publication    what was published differs by more than the budget and half an 8-bit step
weak-model                       without any defender, no phenotype is predicted, and nobody is identified, clearly
                                 better than by chance
weaker-than-noise                unaimed noise of the same budget protects as well
black-box-beats-white-box        the same defender does better with a surrogate than with the attacker's own predictor
poison-...                       the three about budgets, for the poison and the photos that the attacker trained on
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api.base import Defender
from linkbench.api.data import Array, Artefact
from linkbench.registry.spec import Spec

if TYPE_CHECKING:
    from linkbench.results.table import Row

HALF_STEP = 0.5 / 255
"""The largest error of rounding a pixel to 8 bits."""

ROUNDING = 1e-6
"""Differences of float32 pixels that mean nothing."""

ABOVE_CHANCE = 0.05
"""A predictor is clearly better than chance if its interval of balanced accuracy lies this far above it."""

CLEARLY_LOWER = 0.01
"""Success that is lower by less than this is not called lower between two kinds of knowledge."""

STILL = 0.1
"""Gradients have vanished if more than this part of the photos did not move at all."""


class Change(NamedTuple):
    """What a plugin did to photos: the plugin, and the artefact of linkbench.stages.protect.quality."""

    spec: Spec
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

    defender: the plugin with its parameters; needs: what it must know; chance: 1 / number of variants by phenotype;
    looks: whether the attacker looks at photos; eight_bit: whether the channel has 8 bits; change, poison: what was
    done to the linked photos and to those that the attacker trained on, None where nothing was changed.
    """

    defender: Spec | None
    needs: frozenset[str]
    chance: Mapping[str, float]
    looks: bool
    eight_bit: bool
    change: Change | None
    poison: Change | None = None

    @classmethod
    def of(
        cls,
        specs: Mapping[str, Spec],
        chance: Mapping[str, float],
        quality: Artefact | None,
        poison: Change | None = None,
    ) -> Facts:
        """The facts of a cell from its plugins by kind: `attacker` or `identifier`, and `defender`, `channel`."""
        spec = specs.get("defender")
        defender: Defender | None = None if spec is None else spec.plugin()
        sees = specs["attacker" if "attacker" in specs else "identifier"].plugin().sees
        return cls(
            defender=spec,
            needs=frozenset() if defender is None else defender.needs,
            chance=chance,
            looks="identifier" in specs or bool(sees & {"variants", "probabilities"}),
            eight_bit="channel" in specs and specs["channel"].plugin().eight_bit,
            change=None if spec is None or quality is None else Change(spec, quality),
            poison=poison,
        )


def flag(rows: list[Row], facts: Mapping[str, Facts]) -> list[Row]:
    """The rows with their flags, in order; cells without facts keep none. facts: by cell id."""
    cells: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        cells[row.cell].append(row)
    words = {cell: list(_alone(cells[cell][0], known)) for cell, known in facts.items() if cell in cells}
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
    for group in places.values():
        success = {cell: value for cell in group if (value := _success(cells[cell])) is not None and facts[cell].looks}
        for cell in _weaker_than_noise(success, cells, facts):
            words[cell].append("weaker-than-noise")
        for cell in _black_box_beats_white_box(success, cells, facts):
            words[cell].append("black-box-beats-white-box")
    return [row._replace(flags=";".join(words[row.cell])) if words.get(row.cell) else row for row in rows]


def _alone(row: Row, known: Facts) -> Iterable[str]:
    """Flags that follow from one cell alone."""
    if known.change is not None:
        stops = known.change.spec.params.get("target_rank") is not None  # photos that are safe as they are do not move
        if row.epsilon and "predictor" in known.needs and known.change.still() > (STILL if not stops else 1 - 1e-9):
            yield "zero-gradient"
        yield from _budget(known.change, row.epsilon, known.eight_bit)
    if known.poison is not None:
        for word in _budget(known.poison, known.poison.spec.params.get("epsilon"), known.eight_bit):
            yield f"poison-{word}"


def _budget(change: Change, epsilon: float | None, eight_bit: bool) -> Iterable[str]:
    """Flags about the budget of a defender or a poison: in the L-infinity norm, or as its parameter `norm` says."""
    if change.largest("projected") > 0:
        yield "over-budget"
    if epsilon is None:
        return
    euclidean = change.spec.params.get("norm") == 2
    pixel = epsilon / (change.quality.meta["numbers"] ** 0.5 if euclidean else 1.0)
    if 0 < pixel < HALF_STEP and eight_bit:
        yield "below-quantisation"
    # a channel that changes photos by itself (JPEG) may move one pixel further than the defender did, never all of them
    pixelwise = not euclidean and change.largest("channel") <= HALF_STEP + ROUNDING
    if change.largest("change_linf" if pixelwise else "change_rms") > pixel + HALF_STEP + ROUNDING:
        yield "over-budget-after-publication"


def _weak(group: list[str], cells: Mapping[str, list[Row]], facts: Mapping[str, Facts]) -> bool:
    """Whether a model's clean predictions, or identifications, are barely better than chance in every way."""
    seen = False
    for cell in group:
        first, defender = cells[cell][0], facts[cell].defender
        if first.poison != "none" or (defender is not None and defender.name != "none"):
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


def _success(rows: list[Row]) -> float | None:
    """success@1 averaged over the population sizes of the table, all photos alone (n=1) left out."""
    values = [row.value for row in rows if row.metric == "success" and row.k == 1 and row.n != 1]
    return float(np.mean(values)) if values else None


def _weaker_than_noise(
    success: Mapping[str, float], cells: Mapping[str, list[Row]], facts: Mapping[str, Facts]
) -> list[str]:
    noise: dict[float, float] = {}
    for cell, value in success.items():
        if _name(facts[cell]) == "noise" and (epsilon := cells[cell][0].epsilon) is not None:
            noise[epsilon] = min(value, noise.get(epsilon, 1.0))
    out = []
    for cell, value in success.items():
        epsilon = cells[cell][0].epsilon
        if _name(facts[cell]) not in ("none", "noise") and epsilon and value >= noise.get(epsilon, np.inf):
            out.append(cell)
    return out


def _black_box_beats_white_box(
    success: Mapping[str, float], cells: Mapping[str, list[Row]], facts: Mapping[str, Facts]
) -> list[str]:
    """Both cells of such a pair: either number may be the wrong one."""
    same: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for cell in success:
        spec = facts[cell].defender
        if spec is not None and "predictor" in facts[cell].needs:
            params = {name: value for name, value in spec.params.items() if name != "knowledge"}
            own = spec.params.get("knowledge", "white-box") in ("white-box", cells[cell][0].model)
            same[spec.name, repr(sorted(params.items()))].append((cell, own))
    out: dict[str, None] = {}
    for group in same.values():
        whites, blacks = ([cell for cell, own in group if own is kind] for kind in (True, False))
        for white, black in itertools.product(whites, blacks):
            if success[black] < success[white] - CLEARLY_LOWER:
                out |= {white: None, black: None}
    return list(out)


def _name(known: Facts) -> str:
    return "none" if known.defender is None else known.defender.name
