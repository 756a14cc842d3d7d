"""Attackers whose scores depend on all photos of a population at once, such as one-to-one assignment.

Their success in a population of n people is not a function of ranks among all genomes, so populations are drawn:
the genomes are cut into populations of n at random, the photos of each population are matched together, and what
each photo met is averaged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Attacker
from linkbench.api.data import Array, Genomes
from linkbench.api.progress import track
from linkbench.errors import InputError
from linkbench.metrics.ranking import Scores, count_ranks
from linkbench.metrics.settings import Measure, selection
from linkbench.stages.evidence import Target, check_scores, ranked_scores

LARGEST = 30_000_000
"""Scores that are held at once; a joint match of more photos and genomes is refused."""

MATCHES = 4000
"""Photos matched per size, at least: populations are drawn until so many have been, in whole cuts of the genomes."""

MOST_SIZES = 16
"""Sizes that are drawn; of a finer curve a geometric selection, its ends included, is measured."""


def matched(
    attacker: Attacker, genomes: Genomes, target: Target, settings: Measure, seed: int
) -> tuple[Scores, dict[str, Array]]:
    """Scores of the match of everybody with everybody, and each photo's mean success in drawn populations.

    Returns the scores of one match of all photos, and arrays `sampled_sizes` [S], `sampled_top_k` [K],
    `sampled_success` [S, K, n] (mean over the draws that held the photo) and `sampled_draws` [S, n].
    """
    if len(target.photo) * len(genomes) > LARGEST:
        raise InputError(
            f"matching {len(target.photo)} photos with {len(genomes)} genomes at once needs "
            f"{len(target.photo) * len(genomes)} scores; at most {LARGEST} are held. Use fewer photos or genomes, or "
            f"leave joint attackers such as 'assignment' out"
        )
    table = _table(ranked_scores(attacker, genomes, target, group=False))
    sizes, ks = selection(settings.population_sizes(len(genomes)), MOST_SIZES), settings.top_k
    cuts = -(-MATCHES // len(target.photo))
    success = np.zeros((len(sizes), len(ks), len(target.photo)))
    draws = np.zeros((len(sizes), len(target.photo)))
    for index, size in enumerate(track(sizes)):
        for draw in range(cuts):
            random = seeds.generator(seed, size, draw)
            for population in _populations(len(genomes), size, random):
                photos = _one_photo_each(target.truth, population, random)
                if len(photos):
                    met = _match(attacker, table, target.truth, photos, population)
                    draws[index, photos] += 1
                    for place, k in enumerate(ks):
                        success[index, place, photos] += np.clip((k - met.better) / (met.tied + 1.0), 0.0, 1.0)
    success /= np.maximum(draws, 1)[:, None, :]
    arrays = {"sampled_sizes": np.array(sizes), "sampled_top_k": np.array(ks)}
    scores = Scores.dense(_everybody(attacker, table, seeds.generator(seed, "everybody")), target.truth)
    return scores, {**arrays, "sampled_success": success, "sampled_draws": draws}


def _everybody(attacker: Attacker, table: Array, random: np.random.Generator) -> Array:
    """One match of all photos and genomes, shuffled first: ties must not fall as the files happen to be ordered."""
    shuffled = np.ix_(*(random.permutation(extent) for extent in table.shape))
    met = np.empty_like(table)
    met[shuffled] = check_scores(attacker.compete(table[shuffled]), table.shape, attacker)
    return met


def _table(scores: Scores) -> Array:
    """The whole table float64 [n, M] of photos and genomes."""
    blocks = np.concatenate([block for _, block in scores.blocks()], axis=1)
    return blocks[scores.row]


def _populations(genomes: int, size: int, random: np.random.Generator) -> list[Array]:
    """Disjoint random populations of one size; what is left over is in another draw's populations."""
    order = random.permutation(genomes)
    return [order[start : start + size] for start in range(0, genomes - size + 1, size)]


def _one_photo_each(truth: Array, population: Array, random: np.random.Generator) -> Array:
    """Photos whose genome is in the population, in random order, at most one per genome."""
    photos = random.permutation(np.flatnonzero(np.isin(truth, population)))
    _, first = np.unique(truth[photos], return_index=True)
    return photos[np.sort(first)]


def _match(attacker: Attacker, table: Array, truth: Array, photos: Array, population: Array) -> Any:
    # photos and genomes are in random order here, so whatever order the attacker prefers among ties is random
    met = attacker.compete(table[np.ix_(photos, population)])
    check_scores(met, (len(photos), len(population)), attacker)
    place = np.argsort(population)
    column = place[np.searchsorted(population[place], truth[photos])]
    return count_ranks(Scores.dense(met, column))
