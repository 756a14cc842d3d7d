"""An attacker that models what the predictors say of people with a variant, from people whose variants he knows."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from linkbench.api.data import Array, Evidence, Genomes, one_hot
from linkbench.attackers import logistic
from linkbench.attackers.bayes import TINY, normalised
from linkbench.attackers.learner import FOLDS, Learner, Practice, practice

FLOOR = 0.01
"""Predicted probabilities below this count as this: how small they get says more about the network than the face."""

PENALTIES = (100.0, 30.0, 10.0, 3.0)
"""Penalties on squared slopes, of standardised features, to choose from."""

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


class Likelihood(Learner):
    """Sum over phenotypes of log sum_v P(outputs | v) / P(outputs) * P(v | genome), P(v | genome) normalised.

    By Bayes' rule the ratio is P(v | outputs) / P(v). P(v | outputs) is a multinomial logistic regression on the
    log-probabilities of all variants and on the phenotype's most likely one, fitted to people whose variants are known;
    P(v) their frequencies. One imaginary person of each variant, with mean outputs, is added to the others, so that
    nothing is impossible and outputs that tell nothing give a ratio of one. The penalty, and whether a phenotype is
    also read off the predictions of others, are chosen by cross-validation over the attacker's own people.
    """

    sees: ClassVar[frozenset[str]] = frozenset({"variants", "probabilities"})

    def learn(self, training: Evidence, labels: Array) -> Learned:
        own = practice(self, training, labels)
        plain = _features(own.evidence)
        mean = plain.mean(axis=0) if len(plain) else np.zeros(plain.shape[1])
        spread = plain.std(axis=0) if len(plain) else np.zeros(plain.shape[1])
        learned = Learned(mean, np.where(spread > 1e-9, spread, 1.0), [])
        features = learned.features(own.evidence)
        for column, span in enumerate(own.evidence.schema.slices.values()):
            learned.models.append(_model(own, features, column, span))
        return learned

    def score(self, evidence: Evidence, genomes: Genomes, learned: Learned) -> Array:
        features, probability = learned.features(evidence), normalised(genomes)
        product = np.ones((len(evidence), len(genomes)))
        for span, model in zip(genomes.schema.slices.values(), learned.models, strict=True):
            ratio = np.exp(model.posterior(features) - model.prior)
            product *= np.maximum(ratio @ probability[:, span].T, TINY ** (1 / len(learned.models)))
        scores: Array = np.log(product, out=product)
        return scores


def _features(evidence: Evidence) -> Array:
    """float64 [n, 2 V]: log-probabilities, and which variant of each phenotype is the most likely one."""
    assert evidence.probabilities is not None
    assert evidence.variants is not None
    logs = np.log(np.maximum(evidence.probabilities, FLOOR))
    return np.concatenate([logs, one_hot(evidence.variants, evidence.schema)], axis=1)


def _model(own: Practice, features: Array, column: int, span: slice) -> Model:
    """The model of one phenotype, chosen among sources of photos, penalties and what other predictions count."""
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
    told = (logistic.log_probabilities(features, tried) * targets[: len(features)]).sum(axis=2)
    held = np.array([own.judged & known & (own.fold == fold) for fold in range(FOLDS)])
    likelihood = (told.reshape(len(choices), FOLDS, -1) * held).sum(axis=(1, 2))
    taken, penalty = choices[int(likelihood.argmax())]
    counts = targets[: len(features)][taken].sum(axis=0) + 1.0
    return Model(columns, fit([(taken, penalty)])[0], np.log(counts / counts.sum()))
