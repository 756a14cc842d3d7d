"""Attackers whose scores depend on all photos of a population at once, such as one-to-one assignment.

Their success in a population of n people is not a function of ranks among all genomes, so populations are drawn:
the genomes are cut into populations of n at random, the photos of each population are matched together, and what
each photo met is averaged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.base import Attacker
from linkbench.api.data import Array
from linkbench.api.progress import track
from linkbench.boundary.messages import Parcel
from linkbench.errors import InputError
from linkbench.harness.proposals import Proposer
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.scores import Scores
from linkbench.metrics.settings import Measure, selection
from linkbench.stages.evidence import Question, Target, check_scores, ranked_scores

LARGEST = 30_000_000
"""Scores that are held at once; a joint match of more photos and genomes is refused."""

MATCHES = 4000
"""Photos matched per size, at least: populations are drawn until so many have been, in whole cuts of the genomes."""

MOST_SIZES = 16
"""Sizes that are drawn; of a finer curve a geometric selection, its ends included, is measured."""


class Match(NamedTuple):
    """A joint attacker who has been put a question (with a column for every genome), and where the code is."""

    attacker: Attacker
    there: Proposer
    asked: Question

    def table(self) -> Array:
        """The whole table float64 [n, M] of photos and genomes, before anybody competes."""
        scores = ranked_scores(self.there, self.asked, self.attacker)
        blocks = np.concatenate([block for _, block in scores.blocks()], axis=1)[scores.row]
        return blocks if self.asked.place is None else blocks[:, self.asked.place]

    def compete(self, scores: Array) -> Array:
        answer = self.there.call("compete", Parcel({"scores": scores}, {}), most=8 * scores.size)
        return check_scores(answer.arrays.get("scores"), scores.shape, self.attacker)


def check_size(photos: int, genomes: int) -> None:
    """Refuse more scores than are held. Raises InputError."""
    if photos * genomes > LARGEST:
        raise InputError(
            f"matching {photos} photos with {genomes} genomes at once needs {photos * genomes} scores; at most "
            f"{LARGEST} are held. Use fewer photos or genomes, or leave joint attackers such as 'assignment' out"
        )


def matched(
    match: Match, genomes: int, target: Target, settings: Measure, seed: int
) -> tuple[Scores, dict[str, Array]]:
    """Scores of the match of everybody with everybody, and each photo's mean success in drawn populations.

    Returns the scores of one match of all photos, and arrays `sampled_sizes` [S], `sampled_top_k` [K],
    `sampled_success` [S, K, n] (mean over the draws that held the photo) and `sampled_draws` [S, n].
    """
    table = match.table()
    sizes, ks = selection(settings.population_sizes(genomes), MOST_SIZES), settings.top_k
    cuts = -(-MATCHES // len(target.photo))
    success = np.zeros((len(sizes), len(ks), len(target.photo)))
    draws = np.zeros((len(sizes), len(target.photo)))
    for index, size in enumerate(track(sizes)):
        for draw in range(cuts):
            random = seeds.generator(seed, size, draw)
            for population in _populations(genomes, size, random):
                photos = _one_photo_each(target.truth, population, random)
                if len(photos):
                    met = _match(match, table, target.truth, photos, population)
                    draws[index, photos] += 1
                    for place, k in enumerate(ks):
                        success[index, place, photos] += np.clip((k - met.better) / (met.tied + 1.0), 0.0, 1.0)
    success /= np.maximum(draws, 1)[:, None, :]
    arrays = {"sampled_sizes": np.array(sizes), "sampled_top_k": np.array(ks)}
    scores = Scores.dense(_everybody(match, table, seeds.generator(seed, "everybody")), target.truth)
    return scores, {**arrays, "sampled_success": success, "sampled_draws": draws}


def _everybody(match: Match, table: Array, random: np.random.Generator) -> Array:
    """One match of all photos and genomes, shuffled first: ties must not fall as the files happen to be ordered."""
    shuffled = np.ix_(*(random.permutation(extent) for extent in table.shape))
    met = np.empty_like(table)
    met[shuffled] = match.compete(table[shuffled])
    return met


def _populations(genomes: int, size: int, random: np.random.Generator) -> list[Array]:
    """Disjoint random populations of one size; what is left over is in another draw's populations."""
    order = random.permutation(genomes)
    return [order[start : start + size] for start in range(0, genomes - size + 1, size)]


def _one_photo_each(truth: Array, population: Array, random: np.random.Generator) -> Array:
    """Photos whose genome is in the population, in random order, at most one per genome."""
    photos = random.permutation(np.flatnonzero(np.isin(truth, population)))
    _, first = np.unique(truth[photos], return_index=True)
    return photos[np.sort(first)]


def _match(match: Match, table: Array, truth: Array, photos: Array, population: Array) -> Any:
    # photos and genomes are in random order here, so whatever order the attacker prefers among ties is random
    met = match.compete(table[np.ix_(photos, population)])
    place = np.argsort(population)
    column = place[np.searchsorted(population[place], truth[photos])]
    return count_ranks(Scores.dense(met, column))
