"""An attacker that models what the predictors say of people with a variant, from people whose variants he knows."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from linkbench.api.data import Array, Evidence, Genomes, one_hot
from linkbench.api.fields import Fraction01
from linkbench.attackers import logistic
from linkbench.attackers.bayes import TINY, normalised
from linkbench.attackers.learner import FOLDS, Learner, Practice, practice
from linkbench.attackers.pooling import calibrated_correlation, fused

FLOOR = 0.01
"""Predicted probabilities below this count as this: how small they get says more about the network than the face."""

PENALTIES = (100.0, 30.0, 10.0, 3.0)
"""Penalties on squared slopes, of standardised features, to choose from."""

CLEAN = frozenset({"clean"})

ELSEWHERE = (1e6, 10.0)
"""How much more the slopes of other phenotypes' predictions cost: so much that they do not count, or that they do."""


class Model(NamedTuple):
    """How photos tell the variants of one phenotype apart.

    columns: the features that it looks at, int64 [D]; coefficients: float64 [K, D + 1]; prior: log P(variant), [K].
    """

    columns: Array
    coefficients: Array
    prior: Array

    def posterior(self, features: Array) -> Array:
        """float64 [n, K], log P(variant | features)."""
        return logistic.log_probabilities(features[:, self.columns], self.coefficients)


class Learned(NamedTuple):
    """The models of all phenotypes, and mean and spread of the features among the attacker's photos, float64 [2 V]."""

    mean: Array
    spread: Array
    models: list[Model]

    def features(self, evidence: Evidence) -> Array:
        """float64 [n, 2 V], standardised."""
        features: Array = (_features(evidence) - self.mean) / self.spread
        return features

    def log_ratios(self, evidence: Evidence) -> Array:
        """float64 [n, V], log P(outputs | variant) / P(outputs)."""
        features = self.features(evidence)
        return np.concatenate([model.posterior(features) - model.prior for model in self.models], axis=1)


class Lore(NamedTuple):
    """All that the attacker learned: of photos as they meet him, of photos as they were, and what a second photo of a
    person is worth (see `linkbench.attackers.pooling`)."""

    met: Learned
    clean: Learned
    correlation: float


class Likelihood(Learner):
    """Sum over phenotypes of log sum_v P(outputs | v) / P(outputs) * P(v | genome), P(v | genome) normalised.

    By Bayes' rule the ratio is P(v | outputs) / P(v). P(v | outputs) is a multinomial logistic regression on the
    log-probabilities of all variants and on the phenotype's most likely one, fitted to people whose variants are known;
    P(v) their frequencies. One imaginary person of each variant, with mean outputs, is added to the others, so that
    nothing is impossible and outputs that tell nothing give a ratio of one. The penalty, and whether a phenotype is
    also read off the predictions of others, are chosen by cross-validation over the attacker's own people.

    Several photos of a person (`pool`) multiply their ratios, to a power below one as far as their errors are alike;
    how far is chosen by the photos of his own people.
    """

    sees: ClassVar[frozenset[str]] = frozenset({"variants", "probabilities"})

    pool: int = Field(1, ge=1, le=1000, description="photos of a person that are looked at together, at most")
    leaked: Fraction01 = Field(
        0.0, description="part of a linked person's photos that he has unprotected, as they were posted before"
    )

    def learns_from(self) -> frozenset[str]:
        return self.kinds() | {"clean"} if self.leaked else self.kinds()

    def pools(self) -> int:
        return self.pool

    def leaks(self) -> float:
        return self.leaked

    def learn(self, training: Evidence, labels: Array) -> Lore:
        own = practice(self, training, labels, self.kinds())
        met, unseen = _learned(own)
        clean, _ = _learned(practice(self, training, labels, CLEAN)) if self.leaked else (met, unseen)
        correlation = 0.0
        if self.pool > 1:
            assert own.evidence.person is not None
            rows, priors = own.judged, [model.prior for model in met.models]
            correlation = calibrated_correlation(
                [ratios[rows] for ratios in unseen], priors, own.labels[rows], own.evidence.person[rows], self.pool
            )
        return Lore(met, clean, correlation)

    def score(self, evidence: Evidence, genomes: Genomes, learned: Lore) -> Array:
        ratios = learned.met.log_ratios(evidence)
        if evidence.protected is not None and not evidence.protected.all():
            ratios = np.where(evidence.protected[:, None], ratios, learned.clean.log_ratios(evidence))
        if evidence.person is not None:
            ratios = fused(ratios, evidence.person, learned.correlation)
        probability = normalised(genomes)
        product, largest = np.ones((len(ratios), len(genomes))), np.zeros(len(ratios))
        for span in genomes.schema.slices.values():
            most = ratios[:, span].max(axis=1)
            largest += most
            fits = np.exp(ratios[:, span] - most[:, None]) @ probability[:, span].T
            product *= np.maximum(fits, TINY ** (1 / len(genomes.schema.slices)))
        scores: Array = np.log(product, out=product)
        scores += largest[:, None]
        return scores


def _features(evidence: Evidence) -> Array:
    """float64 [n, 2 V]: log-probabilities, and which variant of each phenotype is the most likely one."""
    assert evidence.probabilities is not None
    assert evidence.variants is not None
    logs = np.log(np.maximum(evidence.probabilities, FLOOR))
    return np.concatenate([logs, one_hot(evidence.variants, evidence.schema)], axis=1)


def _learned(own: Practice) -> tuple[Learned, list[Array]]:
    """The models of all phenotypes, and the log-ratios of his own photos by what the other people taught, [n, K]."""
    plain = _features(own.evidence)
    mean = plain.mean(axis=0) if len(plain) else np.zeros(plain.shape[1])
    spread = plain.std(axis=0) if len(plain) else np.zeros(plain.shape[1])
    learned = Learned(mean, np.where(spread > 1e-9, spread, 1.0), [])
    features, unseen = learned.features(own.evidence), []
    for column, span in enumerate(own.evidence.schema.slices.values()):
        model, ratios = _model(own, features, column, span)
        learned.models.append(model)
        unseen.append(ratios)
    return learned, unseen


def _model(own: Practice, features: Array, column: int, span: slice) -> tuple[Model, Array]:
    """The model of one phenotype, chosen among sources of photos, penalties and what other predictions count.

    With the log-ratios of his own photos, float64 [n, K], by what was learned from the other parts of his people.
    """
    classes, known, width = span.stop - span.start, own.known(column), features.shape[1] // 2
    columns = np.concatenate([np.arange(width), np.arange(width + span.start, width + span.stop)])
    features = features[:, columns]
    rows = np.concatenate([features, np.zeros((classes, len(columns)))])  # imaginary people last
    targets = np.concatenate([np.eye(classes)[own.labels[:, column]], np.eye(classes)])
    targets[: len(features)][~known] = 0.0
    other = columns < width
    other[span] = False
    choices = [
        (source & known, np.where(other, penalty * elsewhere, penalty))
        for source in own.sources
        for penalty in PENALTIES
        for elsewhere in ELSEWHERE
    ]

    def fit(trials: list[tuple[Array, Array]]) -> Array:
        weights = np.array([np.concatenate([taken, np.ones(classes)]) for taken, _ in trials], dtype=np.float64)
        return logistic.fit(rows, targets, weights, np.array([penalty for _, penalty in trials]))

    tried = fit([(taken & (own.fold != fold), penalty) for taken, penalty in choices for fold in range(FOLDS)])
    posterior = logistic.log_probabilities(features, tried)
    told = (posterior * targets[: len(features)]).sum(axis=2)
    held = np.array([own.judged & known & (own.fold == fold) for fold in range(FOLDS)])
    likelihood = (told.reshape(len(choices), FOLDS, -1) * held).sum(axis=(1, 2))
    best = int(likelihood.argmax())
    taken, penalty = choices[best]
    counts = targets[: len(features)][taken].sum(axis=0) + 1.0
    prior = np.log(counts / counts.sum())
    by_others = posterior.reshape(len(choices), FOLDS, len(features), classes)[best, own.fold, np.arange(len(features))]
    return Model(columns, fit([(taken, penalty)])[0], prior), by_others - prior
