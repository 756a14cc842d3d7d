"""Rows of the tidy table: metrics of linkage and of prediction, each with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from linkbench.api.data import MISSING, Array, Artefact, Cohort
from linkbench.api.schema import Schema
from linkbench.metrics import certificates, intervals, open_set, ranking
from linkbench.metrics.intervals import DIFFERENCE, SHARE
from linkbench.metrics.scores import TIE
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
        means = _mean(values, weights)
        interval = _interval(values, identity, settings, seed, weights=weights, ends=SHARE)
        interval = np.where(_certain(ranks, population, k, sizes), means, interval)
        rows += [row("success", means[at], interval[:, at], k=k, n=n) for at, n in enumerate(sizes)]
    expected = ranks.expected
    by_k = 1.0 - (expected - 1.0) / max(population - 1, 1)
    singles = {
        "auc_score": rank.array("auc_parts"),
        "auc_k": by_k,
        "mean_rank": expected,
        "reciprocal_rank": ranking.reciprocal_rank(ranks),
    }
    guessing = bool(_certain(ranks, population, 0, [population])[0])
    for name, values in singles.items():
        ends = None if guessing or name == "mean_rank" else SHARE
        interval = _interval(values[:, None], identity, settings, seed, ends=ends)
        rows.append(row(name, values.mean(), interval[:, 0]))
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


def _certain(ranks: ranking.Ranks, population: int, k: int, sizes: list[int]) -> Array:
    """bool [S], where success is no sample but known: all genomes are claimed, or one of them is drawn by lot."""
    guessing = bool(np.all(ranks.tied == population - 1))
    return np.array([guessing or n <= k for n in sizes])


def _mean(values: Array, weights: Array | None) -> Array:
    mean: Array = values.mean(axis=0)
    if weights is not None:
        mean = (values * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1.0)
    return mean


def _interval(values: Array, identity: Array, settings: Measure, seed: int, **how: Any) -> Array:
    return intervals.interval(values, identity, resamples=settings.resamples, level=settings.level, seed=seed, **how)


def _median_interval(values: Array, identity: Array, settings: Measure, seed: int) -> Array:
    """Interval of the median over people, from the first 200 resamples: each needs a sum of its own."""
    people, who = np.unique(identity, return_inverse=True)
    order = np.argsort(values, kind="stable")
    weights, _ = intervals.drawn(len(people), seed, 0, min(200, settings.resamples))
    medians = np.empty(len(weights))
    for resample, weight in enumerate(weights):
        below = weight[who[order]].cumsum()
        medians[resample] = values[order[np.searchsorted(below, below[-1] / 2.0)]]
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
        who = identity[known]
        interval = _interval(right[:, None], who, settings, seed, ends=SHARE)[:, 0]
        rows.append(row(f"accuracy:{phenotype}", right.mean(), interval))
        of_class = (truth[:, None] == np.unique(truth)).astype(np.float64)
        table = np.broadcast_to(right[:, None], of_class.shape)
        interval = _interval(table, who, settings, seed, weights=of_class, ends=SHARE, combine=_average)[:, 0]
        rows.append(row(f"balanced_accuracy:{phenotype}", _mean(table, of_class).mean(), interval))
    return rows


def _average(means: Array) -> Array:
    """The mean recall: each class weighs the same."""
    average: Array = means.mean(axis=1, keepdims=True)
    return average


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
        interval = _interval(loss[:, None], identity[known], settings, seed)
        rows.append(row(f"log_loss:{phenotype}", loss.mean(), interval[:, 0]))
        sure = given.max(axis=1)
        gap = np.zeros((len(truth), BINS))  # by bin, what each photo adds to the excess of confidence
        bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
        gap[np.arange(len(truth)), bins] = sure - (given.argmax(axis=1) == truth)
        error = np.abs(gap.mean(axis=0)).sum()
        interval = _interval(gap, identity[known], settings, seed, combine=_total)[:, 0]
        rows.append(row(f"calibration_error:{phenotype}", error, interval))
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
        interval = _interval(both, people.identity[photo][known], settings, seed, ends=SHARE)
        for at, name in enumerate(("peak", "final")):
            rows.append(row(f"{name}_accuracy:{phenotype}", both[:, at].mean(), interval[:, at]))
    return rows


def open_set_rows(rank: Artefact, settings: Measure, seed: int) -> list[Row]:
    """`fnir:F` at every false positive rate F, k and pile size, and `precision:F,P` for every prior P at k = 1.

    rank: with the thresholds that `linkbench.metrics.open_set.Search` found; else no rows. The thresholds are taken as
    given: intervals are over people at those. Where nothing is claimed there is no precision.
    """
    if "open_threshold" not in rank.arrays:
        return []
    population, identity = int(rank.meta["population"]), rank.array("identity")
    ranks = ranking.Ranks(rank.array("better"), rank.array("tied"))
    threshold, others, score = (rank.array(name) for name in ("open_threshold", "open_others", "score"))
    sizes, rates = rank.array("open_sizes").tolist(), rank.array("open_fpir").tolist()
    places = [(n, rate) for n in sizes for rate in rates]
    rows = []
    curves = ranking.success_curves(ranks, population, [*settings.top_k, 1], sizes)[:, :, None, :]
    told = open_set.claims(score, threshold[..., None], others, population, np.array(sizes)[:, None, None], curves)
    told = told.reshape(len(curves), len(places), len(score), 3)
    for k, made in zip(settings.top_k, told[:-1], strict=True):
        missed = 1.0 - made[:, :, 0].T
        interval, means = _interval(missed, identity, settings, seed, ends=SHARE), missed.mean(axis=0)
        rows += [row(f"fnir:{rate:g}", means[at], interval[:, at], k=k, n=n) for at, (n, rate) in enumerate(places)]
    table = np.concatenate(told[-1], axis=1)
    for prior in settings.prior:

        def shares(means: Array, prior: float = prior) -> Array:
            return open_set.precision(means.reshape(len(means), len(places), 3), prior)

        interval, means = (
            _interval(table, identity, settings, seed, combine=shares),
            shares(table.mean(axis=0)[None])[0],
        )
        rows += [
            row(f"precision:{rate:g},{prior:g}", means[at], interval[:, at], k=1, n=n)
            for at, (n, rate) in enumerate(places)
            if np.isfinite(threshold.flat[at])
        ]
    return rows


def alike_rows(rank: Artefact, settings: Measure, seed: int) -> list[Row]:
    """`success:WAY` among candidates that are like the true one, see `linkbench.stages.alike`; chance is k / n as ever.

    At population sizes that every group of such candidates has.
    """
    if "alike_better" not in rank.arrays:
        return []
    rows = []
    for at, way in enumerate(settings.alike):
        better, tied, population = (rank.array(f"alike_{name}")[at] for name in ("better", "tied", "population"))
        sizes = settings.population_sizes(int(population.min()))
        values = np.empty((len(settings.top_k), len(better), len(sizes)))
        for count in np.unique(population):
            own = np.flatnonzero(population == count)
            ranks = ranking.Ranks(better[own], tied[own])
            values[:, own] = ranking.success_curves(ranks, int(count), settings.top_k, sizes).transpose(0, 2, 1)
        guessing = bool((tied == population - 1).all())
        for k, success in zip(settings.top_k, values, strict=True):
            means = success.mean(axis=0)
            interval = _interval(success, rank.array("identity"), settings, seed, ends=SHARE)
            sure = np.array([guessing or n <= k for n in sizes])
            interval = np.where(sure, means, interval)
            rows += [row(f"success:{way}", means[at], interval[:, at], k=k, n=n) for at, n in enumerate(sizes)]
    return rows


def detection_rows(found: Artefact, settings: Measure, seed: int) -> list[Row]:
    """`detection_auc`: the area under the ROC curve of protected photos against the same without protection;
    `tool_named`: the part of the protected photos whose tool is named among all of the scenario, where it has several.
    """
    values = {"detection_auc": found.array("parts")}
    if "right" in found.arrays:
        values["tool_named"] = found.array("right")
    rows = []
    for name, each in values.items():
        interval = _interval(each[:, None], found.array("identity"), settings, seed, ends=SHARE)[:, 0]
        rows.append(row(name, found.meta["auc"] if name == "detection_auc" else each.mean(), interval))
    return rows


def certificate_rows(certify: Artefact, quality: Artefact | None, settings: Measure, seed: int) -> list[Row]:
    """What no change takes from success: `certified_success:R` under any of a 2-norm up to each R of `radii`.

    Of defended photos (quality: what was changed) only `certified_success`, each photo under any change as long as its
    own. Of others also `certified_radius:PHENOTYPE`, within which the vote on it cannot change, a mean over the photos,
    and `abstained:PHENOTYPE`, the part of them in which the vote was not clear.
    """
    population, identity = int(certify.meta["population"]), certify.array("identity")
    sizes = settings.population_sizes(population)
    certificate = certificates.certified(
        certify.array("reach"),
        ranking.Ranks(certify.array("better"), certify.array("tied")),
        population, settings.top_k, sizes,
    )  # fmt: skip
    lengths = {f"certified_success:{radius:g}": np.full(len(identity), radius) for radius in settings.radii}
    if quality is not None and quality.array("change_rms").any():
        own = np.asarray(quality.array("change_rms"), dtype=np.float64) * np.sqrt(quality.meta["numbers"])
        lengths = {"certified_success": own}
    rows = []
    for metric, length in lengths.items():
        for k, values in zip(settings.top_k, certificate.at(length), strict=True):
            interval = _interval(values.T, identity, settings, seed, ends=SHARE)
            rows += [row(metric, values[at].mean(), interval[:, at], k=k, n=n) for at, n in enumerate(sizes)]
    if "certified_success" in lengths:
        return rows
    radius = np.asarray(certify.array("radius"))
    for name, table, ends in (("certified_radius", radius, None), ("abstained", (radius == 0).astype(float), SHARE)):
        interval = _interval(table, identity, settings, seed, ends=ends)
        rows += [
            row(f"{name}:{phenotype}", table[:, at].mean(), interval[:, at])
            for at, phenotype in enumerate(certify.meta["phenotypes"])
        ]
    return rows


def change_rows(rank: Artefact, baseline: Artefact, settings: Measure, seed: int) -> list[Row]:
    """Success less the success without a defender, photo by photo: paired intervals from the same resamples."""
    rows = []
    sizes, after, weights = _success(rank, settings)
    _, before, _ = _success(baseline, settings)
    ranks = ranking.Ranks(rank.array("better"), rank.array("tied"))
    for k, change in zip(settings.top_k, after - before, strict=True):
        means = _mean(change, weights)
        interval = _interval(change, rank.array("identity"), settings, seed, weights=weights, ends=DIFFERENCE)
        interval = np.where(_certain(ranks, int(rank.meta["population"]), k, sizes), means, interval)
        rows += [row("success_change", means[at], interval[:, at], k=k, n=n) for at, n in enumerate(sizes)]
    return rows


def protection_rows(rank: Artefact, using: Array, settings: Measure, seed: int) -> list[Row]:
    """How often the first name is wrong, for the probes of those who use the tool (bool [N]) and for the others."""
    ranks = ranking.Ranks(rank.array("better"), rank.array("tied"))
    wrong = 1.0 - np.where(ranks.better == 0, 1.0 / (ranks.tied + 1.0), 0.0)
    rows = []
    for name, chosen in (("protection_rate", using), ("unprotected_error", ~using)):
        if chosen.any():
            interval = _interval(wrong[chosen, None], rank.array("identity")[chosen], settings, seed, ends=SHARE)
            rows.append(row(name, wrong[chosen].mean(), interval[:, 0]))
    return rows


def gallery_rows(embeddings: Array, identity: Array, using: Array, settings: Measure, seed: int) -> list[Row]:
    """How often the photo that is nearest to a posted one, of all other posted ones, shows the same person.

    embeddings: float [g, D], compared by their directions; identity: int64 [g]; using: bool [g], whose photos are asked
    about: of users with two photos or more; without one there is no row. Ties are broken at random.
    """
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings.astype(np.float64) / np.maximum(length, 1e-12)
    asked = np.flatnonzero(using & (np.bincount(identity)[identity] > 1))
    if not len(asked):
        return []
    found = np.empty(len(asked))
    for at, photo in enumerate(asked):  # one by one: a table of all pairs would be large
        near = unit @ unit[photo]
        near[photo] = -np.inf
        best = near >= near.max() - TIE
        found[at] = (identity[best] == identity[photo]).mean()
    bounds = _interval(found[:, None], identity[asked], settings, seed, ends=SHARE)
    return [row("gallery_match", found.mean(), bounds[:, 0])]


def quality_rows(quality: Artefact, settings: Measure, seed: int, prefix: str = "") -> list[Row]:
    """What was really changed, measured after publication: mean over the photos, and the largest change of any pixel.

    prefix: begins the metrics' names, `poison_` for the photos that the attacker trained on.
    """
    names = ("linf", "l2", "psnr", "ssim", "delta_e")
    table = np.stack([np.asarray(quality.array(name), dtype=np.float64) for name in names], axis=1)
    interval = _interval(table, quality.array("identity"), settings, seed)
    rows = [row(f"{prefix}{name}", table[:, at].mean(), interval[:, at]) for at, name in enumerate(names)]
    for name, column in (("linf_max", "linf"), ("delta_e_max", "delta_e_max")):
        largest = float(np.max(quality.array(column)))
        rows.append(row(f"{prefix}{name}", largest, np.array([largest, largest])))
    return rows


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
        interval = _interval(values[:, None], who, settings, seed, ends=SHARE)[:, 0]
        rows.append(row(f"{metric}:{about}", values.mean(), interval))
    return [*rows, row(f"rule_accuracy_worst:{about}", found.meta["worst"], np.full(2, found.meta["worst"]))]
