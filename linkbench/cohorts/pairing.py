"""Which genome belongs to whom, for cohorts of photos."""

from __future__ import annotations

import numpy as np

from linkbench.api.data import MISSING, Array, Genomes
from linkbench.api.schema import PAPER
from linkbench.api.seeds import generator
from linkbench.errors import InputError


def need_paper_schema(genomes: Genomes, cohort: str) -> None:
    """Raise InputError unless the genomes have the phenotypes of linkbench.api.schema.PAPER."""
    if genomes.schema != PAPER:
        raise InputError(
            f"cohort '{cohort}' has the phenotypes {PAPER!r}, but the genomes have {genomes.schema!r}. "
            f"Use genomes with 'schema: paper'"
        )


def need_genomes(people: int, genomes: Genomes, cohort: str, remedy: str) -> None:
    """Raise InputError where there are fewer genomes than people."""
    if people > len(genomes):
        raise InputError(
            f"cohort '{cohort}': {people} people need as many genomes, but there are {len(genomes)}. "
            f"{remedy}, or use more genomes (such as 'simulated')"
        )


def rows_of(ids: Array, genomes: Genomes) -> Array:
    """int64 [N], the row of the genome with each id, -1 where there is none."""
    row_of = {name: row for row, name in enumerate(genomes.ids.tolist())}
    return np.array([row_of.get(name, -1) for name in ids.tolist()], dtype=np.int64)


def labels_of_people(labels: Array, who: Array, people: int) -> Array:
    """int64 [people, P], the most frequent known label of each person (ties: the lower variant), else MISSING.

    labels int64 [N, P] of photos; who int64 [N], the person in each, from 0.
    """
    out = np.full((people, labels.shape[1]), MISSING, dtype=np.int64)
    for column in range(labels.shape[1]):
        known = labels[:, column] != MISSING
        votes = np.zeros((people, max(1, labels[:, column].max(initial=0) + 1)), dtype=np.int64)
        np.add.at(votes, (who[known], labels[known, column]), 1)
        out[:, column] = np.where(votes.any(axis=1), votes.argmax(axis=1), MISSING)
    return out


def draw_genomes(labels: Array, genomes: Genomes, seed: int) -> Array:
    """int64 [people], a genome for each person's known phenotypes, no genome twice.

    labels int64 [people, P] or MISSING. P(genome | labels) follows Bayes' rule with equal priors: a genome's weight
    is the product over the known phenotypes of P(label | genome), normalised over the variants. The paper did the
    like with OpenSNP: to each CelebA face a genome of people with its phenotypes, though SNPs of each phenotype came
    from another donor. People of whom most is known choose first, rare combinations before common ones, so that
    rare people find a genome that fits them.
    """
    log_p = genomes.log_p.copy()
    for span in genomes.schema.slices.values():
        log_p[:, span] -= np.log(np.exp(log_p[:, span]).sum(axis=1, keepdims=True))
    groups, group = np.unique(labels, axis=0, return_inverse=True)
    group = group.reshape(-1)
    sizes = np.bincount(group, minlength=len(groups))
    random = generator(seed, "pairing")
    free = np.ones(len(genomes), dtype=bool)
    out = np.full(len(labels), -1, dtype=np.int64)
    for number in np.lexsort((sizes, (groups == MISSING).sum(axis=1))):
        columns = [
            span.start + label
            for span, label in zip(genomes.schema.slices.values(), groups[number], strict=True)
            if label != MISSING
        ]
        # Gumbel keys: the k largest are k draws without replacement, in order
        keys = log_p[:, columns].sum(axis=1) + random.gumbel(size=len(genomes))
        keys[~free] = -np.inf
        best = np.argsort(-keys, kind="stable")[: sizes[number]]
        out[group == number] = best
        free[best] = False
    return out
