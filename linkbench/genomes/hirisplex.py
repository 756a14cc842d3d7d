"""HIrisPlex-S: from SNP dosages to probabilities of eye, hair and skin colour.

Multinomial-logit models of Walsh et al. 2011 (eye), Walsh et al. 2013 (hair colour and shade) and Chaitanya et
al. 2018 (skin), as the web tool computes them. A dosage is how many copies, 0 to 2, of the model's counted allele
a person carries; the columns of a dosage table [M, S] are `model().snps`, S = 40. The model's 41st SNP, rs6119471,
was missing in the web tool's output from which the coefficients were recovered: it has none and needs no dosage.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.api.schema import PAPER, SCHEMAS, Schema
from linkbench.genomes import shipped

SchemaName = Literal["paper", "hirisplex"]
SuperPopulation = Literal["AFR", "AMR", "EAS", "EUR", "SAS"]

FLOOR = 1e-7
"""The smallest probability of a genome table, as in the paper; also the probability of the other sex."""

BLOCK = 8192
"""Rows that are computed at once; bounds the memory."""

UNUSED = "rs6119471"
"""The SNP of HIrisPlex-S that carries no coefficient."""

CLASSES = Schema(
    {
        "eye": ("blue", "intermediate", "brown"),
        "hair": ("blond", "brown", "red", "black"),
        "shade": ("light", "dark"),
        "skin": ("very-pale", "pale", "intermediate", "dark", "dark-to-black"),
    }
)
"""What the model predicts. The last class of each group is the reference: its linear predictor is 0."""

# Missing genotypes are filled in with all their combinations up to this many, with so many sampled ones beyond.
_COMPLETIONS = 3**6


class Model(NamedTuple):
    """The published model.

    snps, alleles: [S] rsids and counted alleles, written on the strand of the web tool; intercept: [10];
    coefficients: [S, 10], columns are CLASSES without reference classes; frequency: of the counted allele [S],
    by super-population and for "ALL" (1000 Genomes phase 3).
    """

    snps: tuple[str, ...]
    alleles: tuple[str, ...]
    intercept: Array
    coefficients: Array
    frequency: dict[str, Array]


@cache
def model() -> Model:
    """The model as shipped in hirisplexs.csv."""
    table = shipped.rows("hirisplexs.csv")
    columns = [name for name in table[0] if ":" in name]
    weights = np.array([[float(row[name]) for name in columns] for row in table])
    places = [name for name in table[0] if name.startswith("af_")]
    return Model(
        snps=tuple(row["rsid"] for row in table[1:]),
        alleles=tuple(row["allele"] for row in table[1:]),
        intercept=weights[0],
        coefficients=weights[1:],
        frequency={name[3:]: np.array([float(row[name]) for row in table[1:]]) for name in places},
    )


def hardy_weinberg(frequency: Array) -> Array:
    """Upper edges [2, ..] of P(dosage = 0) and P(dosage <= 1) for allele frequencies [..] in [0, 1].

    A uniform number u in [0, 1) becomes the dosage (u >= edges[0]) + (u >= edges[1]).
    """
    return np.stack([(1 - frequency) ** 2, 1 - frequency**2])


def completions(snps: Array) -> tuple[Array, Array]:
    """Dosages [Q, k] to try for k missing SNPs (numbers in the model), and their weights [Q]; see `probabilities`."""
    edges = hardy_weinberg(model().frequency["ALL"][snps])
    if 3 ** len(snps) <= _COMPLETIONS:
        dosages = np.indices((3,) * len(snps)).reshape(len(snps), 3 ** len(snps)).T
        chance = np.diff(edges, axis=0, prepend=0, append=1)  # [3, k]
        return dosages, chance[dosages, np.arange(len(snps))].prod(axis=1)
    # Latin hypercube: each SNP on its own gets its genotypes in their shares, to 1/729; always the same draws.
    draws = [np.random.Generator(np.random.Philox(key=int(snp))).permutation(_COMPLETIONS) for snp in snps]
    uniform = (np.stack(draws, axis=1) + 0.5) / _COMPLETIONS
    sampled: Array = (uniform[None] >= edges[:, None]).sum(axis=0)
    return sampled, np.full(_COMPLETIONS, 1 / _COMPLETIONS)


def _softmax_mean(known: Array, dosages: Array, weights: Array, coefficients: Array) -> Array:
    """[C, n], mean class probabilities over the completions; known: [C-1, n] linear predictors without them."""
    out = np.empty((len(known) + 1, known.shape[1]))
    shift = (dosages @ coefficients).T[:, :, None]  # [C-1, Q, 1]
    step = max(1, BLOCK // len(weights))
    for start in range(0, known.shape[1], step):
        span = slice(start, start + step)
        linear = known[:, None, span] + shift
        top = np.maximum(linear.max(axis=0), 0.0)
        share = np.exp(np.concatenate([linear - top, -top[None]]))
        share /= share.sum(axis=0)
        out[:, span] = share[:, 0] if len(weights) == 1 else np.einsum("cqn,q->cn", share, weights)
    return out


def _same_missing(dosages: Array, missing: Array) -> Array:
    """[14, n] probabilities of people [n, S] who all miss the same SNPs (bool [S]; their dosages read 0)."""
    published = model()
    linear = (dosages @ published.coefficients + published.intercept).T
    out = np.empty((CLASSES.width, len(dosages)))
    for number, span in enumerate(CLASSES.slices.values()):
        columns = slice(span.start - number, span.stop - number - 1)  # each earlier group has one reference class
        weights = published.coefficients[:, columns]
        absent = np.flatnonzero(missing & weights.any(axis=1))
        out[span] = _softmax_mean(linear[columns], *completions(absent), weights[absent])
    return out


def _block(dosages: Array) -> Array:
    missing = np.isnan(dosages)
    if not missing.any():
        return _same_missing(dosages, missing[0]).T
    dosages = np.where(missing, 0.0, dosages)
    patterns, group = np.unique(missing, axis=0, return_inverse=True)
    out = np.empty((len(dosages), CLASSES.width))
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(group.ravel() == number)
        out[rows] = _same_missing(dosages[rows], pattern).T
    return out


def probabilities(dosages: Array) -> Array:
    """float64 [M, 14], P(class | genotypes); columns are CLASSES.columns, each group sums to 1.

    dosages: [M, S] numbers 0, 1, 2, NaN where unknown; columns are model().snps.

    A missing SNP is summed out: the result is the expectation over its genotypes in Hardy-Weinberg proportions at
    the frequency in all of 1000 Genomes, SNPs independent of each other. (The expectation of a softmax is not the
    softmax at the mean dosage, which errs by 0.12 here.) Up to 6 missing SNPs of one group (eye, hair, shade, skin)
    it is exact. Beyond, it is the mean over 729 genotypes of a fixed Latin hypercube: error 0.003 root mean square,
    0.014 at most in 60 trials with 8 to 40 missing. Linkage between SNPs is not used, so a known neighbour does not
    help to guess a missing one. Costs about 0.1 ms a person with one missing SNP, 0.3 ms with a dozen.
    """
    out = np.empty((len(dosages), CLASSES.width))
    for start in range(0, len(dosages), BLOCK):
        out[start : start + BLOCK] = _block(np.asarray(dosages[start : start + BLOCK], dtype=np.float64))
    return out


def _to_paper(p: Array) -> dict[str, Array]:
    """Each phenotype of the paper's schema but sex, from [n, 14]; see `log_p`."""
    eye, hair, skin = (p[:, CLASSES.slices[name]] for name in ("eye", "hair", "skin"))
    blond, brown, _, black = hair.T
    not_red = np.stack([black, blond, brown], axis=1)
    return {
        "eye": eye,
        "hair": not_red / not_red.sum(axis=1, keepdims=True),
        "skin": np.stack([skin[:, 0] + skin[:, 1], skin[:, 2], skin[:, 3] + skin[:, 4]], axis=1),
    }


def _to_hirisplex(p: Array) -> dict[str, Array]:
    return {name: p[:, CLASSES.slices[name]] for name in ("eye", "hair", "skin")}


def log_p(dosages: Array, male: Array, schema: SchemaName) -> Array:
    """float64 [M, V], log P(variant | genome), natural, at least log 1e-7, for schema.PAPER or HIRISPLEX.

    dosages: [M, S] as in `probabilities`; male: bool [M]. Sex is known: 1 for it and 1e-7 for the other one, as
    in Venkatesaramani et al. 2021. The paper's variants from those of HIrisPlex-S:
    eye - the same three;
    hair - the paper has no red: black, blonde, brown are conditioned on not red, P(v) / (1 - P(red));
    skin - pale = very pale + pale, intermediate, dark = dark + dark to black.
    Hair shade has no place in either schema.
    """
    target = SCHEMAS[schema]
    mapped = _to_paper if target is PAPER else _to_hirisplex
    out = np.empty((len(dosages), target.width))
    sex = target.slices["sex"].start
    for start in range(0, len(dosages), BLOCK):
        rows = slice(start, start + BLOCK)
        for name, values in mapped(probabilities(dosages[rows])).items():
            out[rows, target.slices[name]] = np.log(np.maximum(values, FLOOR))
        known = np.asarray(male[rows], dtype=bool)
        out[rows, sex + target["sex"].index("female")] = np.where(known, np.log(FLOOR), 0.0)
        out[rows, sex + target["sex"].index("male")] = np.where(known, 0.0, np.log(FLOOR))
    return out


def dosage_digits(texts: list[str]) -> Array:
    """uint8 [M, S] from the shipped form, one digit per SNP."""
    return np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8).reshape(len(texts), -1) - ord("0")
