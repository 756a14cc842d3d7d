"""Rows of the tidy table: metrics of linkage and of prediction, each with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from linkbench.api.data import MISSING, Array, Artefact, Cohort
from linkbench.api.schema import Schema
from linkbench.metrics import ranking
from linkbench.metrics.settings import Measure

Row = dict[str, Any]


def row(metric: str, value: float, interval: Array, *, k: int | None = None, n: int | None = None) -> Row:
    """One line of the results; flags are added when all rows are known."""
    low, high = (float(end) for end in interval)
    return {"metric": metric, "k": k, "n": n, "value": float(value), "ci_low": low, "ci_high": high}


def linkage_rows(rank: Artefact, settings: Measure, seed: int) -> list[Row]:
    """Success curves, areas under both ROC curves, mean and median and reciprocal rank."""
    population = int(rank.meta["population"])
    identity = rank.array("identity")
    ranks = ranking.Ranks(rank.array("better"), rank.array("tied"))
    rows = []
    sizes, curves, weights = _success(rank, settings)
    for k, values in zip(settings.top_k, curves, strict=True):
        interval = _bootstrap(values, identity, settings, seed, weights=weights)
        means = _mean(values, weights)
        rows += [row("success", means[at], interval[:, at], k=k, n=n) for at, n in enumerate(sizes)]
    expected = ranks.expected
    by_k = 1.0 - (expected - 1.0) / max(population - 1, 1)
    singles = {
        "auc_score": rank.array("auc_parts"),
        "auc_k": by_k,
        "mean_rank": expected,
        "reciprocal_rank": ranking.reciprocal_rank(ranks),
    }
    table = np.stack(list(singles.values()), axis=1)
    interval = _bootstrap(table, identity, settings, seed)
    rows += [row(name, values.mean(), interval[:, column]) for column, (name, values) in enumerate(singles.items())]
    rows.append(row("median_rank", np.median(expected), _median_interval(expected, identity, settings, seed)))
    return rows


def _success(rank: Artefact, settings: Measure) -> tuple[list[int], Array, Array | None]:
    """Population sizes, each photo's success float64 [K, N, S], and weights: 0 where no drawn population held it."""
    if "sampled_success" in rank.arrays:
        drawn = (rank.array("sampled_draws") > 0).T.astype(np.float64)
        success = np.moveaxis(rank.array("sampled_success"), 0, 2)
        return rank.array("sampled_sizes").tolist(), success, drawn
    ranks = ranking.Ranks(rank.array("better"), rank.array("tied"))
    population = int(rank.meta["population"])
    sizes = settings.population_sizes(population)
    return sizes, ranking.success_curves(ranks, population, settings.top_k, sizes).transpose(0, 2, 1), None


def _mean(values: Array, weights: Array | None) -> Array:
    mean: Array = values.mean(axis=0)
    if weights is not None:
        mean = (values * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1.0)
    return mean


def _bootstrap(values: Array, identity: Array, settings: Measure, seed: int, **how: Any) -> Array:
    return ranking.bootstrap(values, identity, resamples=settings.resamples, level=settings.level, seed=seed, **how)


def _median_interval(values: Array, identity: Array, settings: Measure, seed: int) -> Array:
    """Percentile interval of the median over identities, 200 resamples: each needs a sort of its own."""
    people, who = np.unique(identity, return_inverse=True)
    random = np.random.Generator(np.random.Philox(seed))
    order = np.argsort(values, kind="stable")
    medians = np.empty(200)
    for resample in range(len(medians)):
        drawn = np.bincount(random.integers(0, len(people), len(people)), minlength=len(people))
        weight = drawn[who[order]].cumsum()
        medians[resample] = values[order[np.searchsorted(weight, weight[-1] / 2.0)]]
    tail = (1.0 - settings.level) / 2.0
    return np.quantile(medians, [tail, 1.0 - tail])


def prediction_rows(
    variants: Array, labels: Array, identity: Array, schema: Schema, settings: Measure, seed: int
) -> list[Row]:
    """Accuracy and balanced accuracy of each phenotype over the photos whose label is known.

    variants, labels: int64 [N, P].
    """
    rows = []
    for column, phenotype in enumerate(schema):
        known = labels[:, column] != MISSING
        if not known.any():
            continue
        truth = labels[known, column]
        right = (variants[known, column] == truth).astype(np.float64)
        counts = np.bincount(truth, minlength=len(schema[phenotype]))
        # each class weighs the same: the mean of these terms is the mean recall
        balanced = right * len(truth) / (np.count_nonzero(counts) * counts[truth])
        interval = _bootstrap(np.stack([right, balanced], axis=1), identity[known], settings, seed)
        rows.append(row(f"accuracy:{phenotype}", right.mean(), interval[:, 0]))
        rows.append(row(f"balanced_accuracy:{phenotype}", balanced.mean(), np.clip(interval[:, 1], 0.0, 1.0)))
    return rows


BINS = 10
"""Bins of the predicted probability in which calibration is judged."""

SMALLEST = 1e-12
"""Probabilities below this count as this in the logarithmic loss."""


def calibration_rows(
    probabilities: Array, labels: Array, identity: Array, schema: Schema, settings: Measure, seed: int
) -> list[Row]:
    """How far predicted probabilities can be believed, for each phenotype over the photos whose label is known.

    log_loss: mean of -log of the probability of the true variant, in nats. calibration_error: the expected calibration
    error, the mean distance between the probability of the most likely variant and how often it is right, in BINS equal
    bins (Guo et al. 2017, Eq. 3). probabilities: float64 [N, V]; labels: int64 [N, P]. Predictions that are never in
    doubt, as published ones, have no calibration: no rows.
    """
    if bool(np.all((probabilities == 0) | (probabilities == 1))):
        return []
    rows = []
    for column, (phenotype, span) in enumerate(schema.slices.items()):
        known = labels[:, column] != MISSING
        if not known.any():
            continue
        given, truth = np.asarray(probabilities[known, span]), labels[known, column]
        loss = -np.log(np.maximum(given[np.arange(len(truth)), truth], SMALLEST))
        interval = _bootstrap(loss[:, None], identity[known], settings, seed)
        rows.append(row(f"log_loss:{phenotype}", loss.mean(), interval[:, 0]))
        sure = given.max(axis=1)
        gap = np.zeros((len(truth), BINS))  # by bin, what each photo adds to the excess of confidence
        bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
        gap[np.arange(len(truth)), bins] = sure - (given.argmax(axis=1) == truth)
        error = np.abs(gap.mean(axis=0)).sum()
        interval = _bootstrap(gap, identity[known], settings, seed, combine=_total)[:, 0]
        # chance makes the error of a resample larger, never smaller: the interval is to hold the value all the same
        rows.append(row(f"calibration_error:{phenotype}", error, np.array([min(interval[0], error), interval[1]])))
    return rows


def _total(means: Array) -> Array:
    total: Array = np.abs(means).sum(axis=1, keepdims=True)
    return total


def curve_rows(curves: Artefact, people: Cohort, settings: Measure, seed: int) -> list[Row]:
    """Highest and last accuracy on clean test photos over the epochs of the last phase of training.

    Whoever stops by hindsight reaches the first, whoever never stops gets the last; the weights that are linked with
    were chosen by the validation photos. Epochs are compared on all photos, so the interval is that of one epoch.
    """
    rows = []
    history, photo = curves.meta["history"], curves.array("watched_photo")
    first = next(at for at, epoch in enumerate(history) if epoch["phase"] == history[-1]["phase"])
    watched = np.asarray(curves.array("watched"))[first:]
    for column, phenotype in enumerate(people.schema):
        truth = people.labels[photo, column]
        known = truth != MISSING
        if not known.any():
            continue
        right = (watched[:, known, column] == truth[known]).astype(np.float64)
        both = right[[int(right.mean(axis=1).argmax()), -1]].T
        interval = _bootstrap(both, people.identity[photo][known], settings, seed)
        for at, name in enumerate(("peak", "final")):
            rows.append(row(f"{name}_accuracy:{phenotype}", both[:, at].mean(), interval[:, at]))
    return rows


def change_rows(rank: Artefact, baseline: Artefact, settings: Measure, seed: int) -> list[Row]:
    """Success less the success without a defender, photo by photo: paired intervals from the same resamples."""
    rows = []
    sizes, after, weights = _success(rank, settings)
    _, before, _ = _success(baseline, settings)
    for k, change in zip(settings.top_k, after - before, strict=True):
        interval = _bootstrap(change, rank.array("identity"), settings, seed, weights=weights)
        means = _mean(change, weights)
        rows += [row("success_change", means[at], interval[:, at], k=k, n=n) for at, n in enumerate(sizes)]
    return rows


def protection_rows(rank: Artefact, using: Array, settings: Measure, seed: int) -> list[Row]:
    """How often the first name is wrong, for the probes of those who use the tool (bool [N]) and for the others."""
    ranks = ranking.Ranks(rank.array("better"), rank.array("tied"))
    wrong = 1.0 - np.where(ranks.better == 0, 1.0 / (ranks.tied + 1.0), 0.0)
    rows = []
    for name, chosen in (("protection_rate", using), ("unprotected_error", ~using)):
        if chosen.any():
            interval = _bootstrap(wrong[chosen, None], rank.array("identity")[chosen], settings, seed)
            rows.append(row(name, wrong[chosen].mean(), interval[:, 0]))
    return rows


def quality_rows(quality: Artefact, settings: Measure, seed: int, prefix: str = "") -> list[Row]:
    """What was really changed, measured after publication: mean over the photos, and the largest L-infinity change.

    prefix: begins the metrics' names, `poison_` for the photos that the attacker trained on.
    """
    names = ("linf", "l2", "psnr", "ssim")
    table = np.stack([np.asarray(quality.array(name), dtype=np.float64) for name in names], axis=1)
    interval = _bootstrap(table, quality.array("identity"), settings, seed)
    rows = [row(f"{prefix}{name}", table[:, at].mean(), interval[:, at]) for at, name in enumerate(names)]
    largest = table[:, 0].max()
    return [*rows, row(f"{prefix}linf_max", largest, np.array([largest, largest]))]


def rule_rows(found: Artefact, settings: Measure, seed: int) -> list[Row]:
    """What a poison's theorem claims, what its rule reaches (mean, and worst draw), and a linear model trained on it.

    found: linkbench.stages.theorem_check.rule; without a bound there are no rows.
    """
    if found.meta["bound"] is None:
        return []
    about = found.meta["phenotype"] or "combination"
    identity = found.array("identity")
    tested = identity[found.array("tested")]
    rows = [row(f"bound:{about}", found.meta["bound"], np.full(2, found.meta["bound"]))]
    parts = (("rule_accuracy", "rule", identity), ("linear_accuracy", "linear", tested))
    for metric, name, who in (*parts, ("linear_accuracy_clean", "linear_clean", tested)):
        values = np.asarray(found.array(name))
        interval = _bootstrap(values[:, None], who, settings, seed)[:, 0]
        rows.append(row(f"{metric}:{about}", values.mean(), interval))
    return [*rows, row(f"rule_accuracy_worst:{about}", found.meta["worst"], np.full(2, found.meta["worst"]))]
