"""Other people whose photos a tool may use: who they are, and in what secret order each protected person meets them.

Both are drawn by a secret seed and the number of the protected person alone, so they tell nothing of the true genome.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from linkbench.api import seeds
from linkbench.api.data import Array
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.errors import PluginError

BATCH = 64
"""Photos that are looked at at a time."""

MOST = 1024
"""People at most: more make a draw no more secret."""


class Donors(NamedTuple):
    """People with one photo each: identity, int64 [D], and photos, uint8 [D, 3, h, w], rounded to 8 bits."""

    identity: Array
    photos: Array


def choose(studied: StudySet, least: int, what: str) -> tuple[Array, Array]:
    """Identities, int64 [D], ascending, and the row of one photo of each, both drawn by the study's seed; at most MOST.

    Raises PluginError with fewer than `least` people, saying what they are wanted for.
    """
    people = np.unique(studied.identity)
    if len(people) < least:
        raise PluginError(
            f"{what}, but the photos that it may study show "
            f"{len(people)} {'person' if len(people) == 1 else 'people'}; give it photos of {least} or more"
        )
    random = seeds.generator(studied.seed, "decoys")
    chosen = np.sort(random.permutation(people)[:MOST])
    order = random.permutation(len(studied))  # the first photo of a person in a random order is a random one
    _, first = np.unique(studied.identity[order], return_index=True)
    return chosen, order[first[np.searchsorted(people, chosen)]]


def batches(rows: Array) -> Iterator[Array]:
    """The rows, BATCH at a time."""
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def donors(studied: StudySet, least: int, what: str) -> Donors:
    """People as `choose` draws them, with their photos."""
    identity, rows = choose(studied, least, what)
    return Donors(identity, eight_bit(studied, rows))


def eight_bit(studied: StudySet, rows: Array) -> Array:
    """uint8 [n, 3, h, w], the studied photos of these rows."""
    photos = [studied.pixels(part).mul(255).round().to(torch.uint8).cpu().numpy() for part in batches(rows)]
    return np.concatenate(photos)


def secret_order(knowledge: Knowledge, person: int, identity: Array) -> Array:
    """int64 [d], everybody but the person, by their place in `identity`; the same for all photos of the person."""
    order = seeds.generator(knowledge.seed, "decoy", person).permutation(len(identity))
    others: Array = order[identity[order] != person]
    return others


def shown(knowledge: Knowledge) -> tuple[int, ...]:
    """Who is in each photo of a batch; where nobody says, every photo shows somebody else."""
    return knowledge.identity or knowledge.keys


def met_first(knowledge: Knowledge, identity: Array) -> list[int]:
    """The secret other person for each photo of a batch, by their place in `identity`."""
    return [int(secret_order(knowledge, person, identity)[0]) for person in shown(knowledge)]


def learned_donors(knowledge: Knowledge, what: str) -> Donors:
    """The donors that `learn` gave. Raises PluginError where it gave none."""
    if not isinstance(knowledge.learned, Donors):
        raise PluginError(f"{what} among people whom it has studied, but was given none")
    return knowledge.learned
