"""What a defender may know: exactly what it asks for in `needs`, wherever it is at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.data import TEST, Array, Cohort, Genomes
from linkbench.api.schema import Schema
from linkbench.errors import InputError, PluginError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.knowledge import Knowledge, StudySet

REFERENCE = 1024
"""Genomes in the defender's reference population."""


class Known(NamedTuple):
    """All that there is to know about photos number 0 to n - 1; what there is not is None.

    seed: names the random numbers; predictor: a module from photos to log-probabilities; log_p: float64 [n, V] of the
    true genomes; reference: float64 [R, V]; labels: int64 [n, P]; identity: int64 [n]; channel: the publication, with
    a gradient; redraw: numbers of photos int64 [b] and variants int64 [b, P] to uint8 [b, 3, h, w].
    """

    schema: Schema
    seed: int
    predictor: Any = None
    log_p: Array | None = None
    reference: Array | None = None
    labels: Array | None = None
    identity: Array | None = None
    channel: Callable[[Tensor], Tensor] | None = None
    redraw: Callable[[Array, Array], Array] | None = None


def check_known(defender: Defender, known: Known, who: str) -> None:
    """Raise PluginError naming what the defender needs and there is not: the one place that says so."""
    there = {
        "predictor": (known.predictor, f"see a predictor, but knowledge {defender.knowledge!r} gives it none"),
        "genome": (known.log_p, "know the true genome of each photo, but there are no genomes here"),
        "reference": (known.reference, "know a reference population of genomes, but there are no genomes here"),
        "labels": (known.labels, "know the true variants of each photo, but there are no labels here"),
        "redraw": (
            known.redraw,
            "have photos drawn again with other phenotypes, but whoever made these cannot; use cohort 'rendered'",
        ),
    }
    for name in sorted(defender.needs):
        if name not in there:
            raise PluginError(f"{who} needs {name!r}, which the harness does not know; known: {', '.join(there)}")
        value, what = there[name]
        if value is None:
            raise PluginError(f"{who} must {what}")


def learns(defender: Defender) -> bool:
    """Whether it works something out from many photos before it changes any."""
    return type(defender).learn is not Defender.learn


def tell(
    defender: Defender, known: Known, index: Array, device: Any, *, keys: Array | None = None, learned: Any = None
) -> Knowledge:
    """The knowledge about some photos, int64 [b]. keys: int64 [b], one for each, for its random numbers."""
    import torch

    from linkbench.api.knowledge import Knowledge, Redraw

    def given(name: str, array: Array | None, rows: Any = slice(None)) -> Tensor | None:
        if array is None or name not in defender.needs:
            return None
        return torch.from_numpy(np.array(array[rows])).to(device)

    return Knowledge(
        schema=known.schema,
        keys=tuple((index if keys is None else keys).tolist()),
        seed=known.seed,
        predictor=known.predictor if "predictor" in defender.needs else None,
        log_p=given("genome", known.log_p, index),
        reference=given("reference", known.reference),
        labels=given("labels", known.labels, index),
        channel=known.channel,
        learned=learned,
        identity=() if known.identity is None else tuple(known.identity[index].tolist()),
        redraw=None if known.redraw is None or "redraw" not in defender.needs else Redraw(known.redraw, index),
    )


def study_set(
    defender: Defender,
    known: Known,
    pixels: Callable[[Array], Tensor],
    index: Array,
    *,
    keys: Array,
    size: int,
    device: str,
    seed: int,
    untrained: Callable[[], nn.Module] | None = None,
) -> StudySet:
    """Photos to be studied, int64 [m] of those in `known`; pixels: from 0 to m - 1, int64 [b], to float32 [b, 3, h, w].

    keys: int64 [m], as in `Knowledge`; size: edge in pixels; untrained: a fresh network of the seen one's architecture.
    """
    from linkbench.api.knowledge import StudySet

    assert known.identity is not None
    sees = "predictor" in defender.needs
    return StudySet(
        schema=known.schema,
        pixels=pixels,
        keys=keys,
        labels=np.array(known.labels[index]) if known.labels is not None and "labels" in defender.needs else None,
        identity=np.array(known.identity[index]),
        size=size,
        device=device,
        seed=seed,
        predictor=known.predictor if sees else None,
        untrained=untrained if sees else None,
    )


def reference_population(people: Cohort, genomes: Genomes, seed: int) -> Array:
    """float64 [REFERENCE, V]: simulated genomes, so that a defender never ranks among the attacker's candidates.

    Each phenotype's columns are those of a random person of the training split, drawn for each phenotype anew: the
    frequencies are right, nobody's genome is in it. Genomes of people whose photos are protected take no part.
    """
    rows = np.setdiff1d(people.truth[people.split != TEST], people.truth[people.split == TEST])
    if not len(rows):
        raise InputError(
            "a defender asks for a reference population, but the cohort has no people outside the test split "
            "to simulate one from; give the split a training part"
        )
    known = genomes.log_p[np.sort(rows)]
    random = seeds.generator(seed, "reference")
    parts = [known[random.integers(0, len(known), REFERENCE), span] for span in people.schema.slices.values()]
    return np.concatenate(parts, axis=1)
