"""An attacker that models what the predictors say of people with a variant, from people whose variants he knows."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from linkbench.api.data import Array, Evidence, Genomes
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
    """How photos tell the variants of one phenotype apart: coefficients [K, V + 1]; log P(variant), float64 [K]."""

    coefficients: Array
    prior: Array


class Learned(NamedTuple):
    """The models of all phenotypes, and mean and spread of the features among the attacker's photos, float64 [V]."""

    mean: Array
    spread: Array
    models: list[Model]

    def features(self, probabilities: Array) -> Array:
        """float64 [n, V], standardised log-probabilities."""
        features: Array = (_logs(probabilities) - self.mean) / self.spread
        return features


class Likelihood(Learner):
    """Sum over phenotypes of log sum_v P(outputs | v) / P(outputs) * P(v | genome), P(v | genome) normalised.

    By Bayes' rule the ratio is P(v | outputs) / P(v). P(v | outputs) is a multinomial logistic regression on the
    log-probabilities of the predictors, fitted to people whose variants are known; P(v) their frequencies. One
    imaginary person of each variant, with mean outputs, is added to the others, so that nothing is impossible and
    outputs that tell nothing give a ratio of one. The penalty, and whether a phenotype is also read off the
    predictions of others, are chosen by cross-validation over the attacker's own people.
    """

    sees: ClassVar[frozenset[str]] = frozenset({"probabilities"})

    def learn(self, training: Evidence, labels: Array) -> Learned:
        own = practice(self, training, labels)
        assert own.evidence.probabilities is not None
        logs = _logs(own.evidence.probabilities)
        mean = logs.mean(axis=0) if len(logs) else np.zeros(logs.shape[1])
        spread = logs.std(axis=0) if len(logs) else np.zeros(logs.shape[1])
        learned = Learned(mean, np.where(spread > 1e-9, spread, 1.0), [])
        features = learned.features(own.evidence.probabilities)
        for column, span in enumerate(own.evidence.schema.slices.values()):
            learned.models.append(_model(own, features, column, span))
        return learned

    def score(self, evidence: Evidence, genomes: Genomes, learned: Learned) -> Array:
        assert evidence.probabilities is not None
        features, probability = learned.features(evidence.probabilities), normalised(genomes)
        product = np.ones((len(evidence), len(genomes)))
        for span, model in zip(genomes.schema.slices.values(), learned.models, strict=True):
            ratio = np.exp(logistic.log_probabilities(features, model.coefficients) - model.prior)
            product *= np.maximum(ratio @ probability[:, span].T, TINY ** (1 / len(learned.models)))
        scores: Array = np.log(product, out=product)
        return scores


def _logs(probabilities: Array) -> Array:
    logs: Array = np.log(np.maximum(probabilities, FLOOR))
    return logs


def _model(own: Practice, features: Array, column: int, span: slice) -> Model:
    """The model of one phenotype, chosen among sources of photos, penalties and what other predictions count."""
    classes, known = span.stop - span.start, own.known(column)
    rows = np.concatenate([features, np.zeros((classes, features.shape[1]))])  # imaginary people last
    targets = np.concatenate([np.eye(classes)[own.labels[:, column]], np.eye(classes)])
    targets[: len(features)][~known] = 0.0
    other = np.ones(features.shape[1], bool)
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
    return Model(fit([(taken, penalty)])[0], np.log(counts / counts.sum()))
