"""The attackers that learn from protected photos: their mathematics, and that they find what a defence gives away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax

from linkbench.api.data import MISSING, TEST, Array, Artefact, Cohort, Evidence, Genomes, most_likely, strings
from linkbench.api.schema import PAPER, Schema
from linkbench.attackers import logistic
from linkbench.attackers.calibrated import Calibrated
from linkbench.attackers.learner import Learner
from linkbench.attackers.likelihood import Likelihood
from linkbench.attackers.predicted import Predicted
from linkbench.errors import InputError
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.ranking import expected_success
from linkbench.stages.evidence import gather, own_scores

LEARNERS = [Likelihood, Calibrated]


def problem(seed: int, rows: int, width: int, classes: int) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    targets = np.eye(classes)[np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])]
    return random.normal(size=(rows, width)), targets


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(1, 5), st.integers(2, 4), st.floats(0.05, 100))
def test_regressions_are_those_of_a_general_optimiser(
    seed: int, rows: int, width: int, classes: int, penalty: float
) -> None:
    features, targets = problem(seed, rows, width, classes)
    random = np.random.default_rng(seed + 1)
    weights = random.integers(0, 3, (3, rows)).astype(float)
    weights[:, :classes] = 1.0  # a row of every class counts
    penalties = penalty * random.uniform(0.5, 2.0, (3, width))
    fitted = logistic.fit(features, targets, weights, penalties)
    np.testing.assert_allclose(fitted[:, :, 0].sum(axis=1), 0.0, atol=1e-9)
    for own, weight, ridge in zip(fitted, weights, penalties, strict=True):

        def lost(flat: Array, weight: Array = weight, ridge: Array = ridge) -> Any:
            table = flat.reshape(classes, width + 1)
            log_p = log_softmax(features @ table[:, 1:].T + table[:, 0], axis=1)
            return -(weight * (log_p * targets).sum(axis=1)).sum() + (ridge * table[:, 1:] ** 2).sum() / 2

        found = minimize(lost, np.zeros(classes * (width + 1)), method="L-BFGS-B", options={"ftol": 1e-14})
        assert lost(own.ravel()) <= found.fun + 1e-7
        np.testing.assert_allclose(own[:, 1:], found.x.reshape(classes, -1)[:, 1:], atol=2e-3)


def genomes(count: int, schema: Schema = PAPER, seed: int = 0, certain: float = 0.9) -> Genomes:
    """Each genome favours one variant of each phenotype."""
    random = np.random.default_rng(seed)
    parts = []
    for name in schema:
        size = len(schema[name])
        table = np.full((count, size), (1 - certain) / (size - 1))
        table[np.arange(count), random.integers(0, size, count)] = certain
        parts.append(table)
    return Genomes(schema, strings([f"g{row}" for row in range(count)]), np.log(np.concatenate(parts, axis=1)))


def truth_of(table: Genomes) -> Array:
    return most_likely(table.log_p, table.schema)


def outputs(variants: Array, schema: Schema, seed: int, turned: int, noise: float = 0.8) -> Array:
    """Soft outputs whose peak is at the variant, or `turned` variants further: a signal that points elsewhere."""
    random = np.random.default_rng(seed)
    parts = []
    for column, name in enumerate(schema):
        size = len(schema[name])
        logits = random.normal(size=(len(variants), size)) * noise
        logits[np.arange(len(variants)), (variants[:, column] + turned) % size] += 3.0
        exponents = np.exp(logits)
        parts.append(exponents / exponents.sum(axis=1, keepdims=True))
    return np.concatenate(parts, axis=1)


def evidence(probabilities: Array, schema: Schema = PAPER, **more: Array) -> Evidence:
    return Evidence(schema, len(probabilities), most_likely(probabilities, schema), probabilities, **more)


def own_people(table: Genomes, clean: int = 0, protected: int = 1) -> tuple[Evidence, Array]:
    """The attacker's people, each with a clean and a protected photo, turned so far."""
    labels = truth_of(table)
    both = np.concatenate([outputs(labels, table.schema, 2, clean), outputs(labels, table.schema, 3, protected)])
    who = np.tile(np.arange(len(labels)), 2)
    return evidence(both, table.schema, person=who, protected=np.repeat([False, True], len(labels))), np.tile(
        labels, (2, 1)
    )


def of_kind(training: Evidence, labels: Array, plugin: Learner) -> tuple[Evidence, Array]:
    assert training.protected is not None
    asked = np.isin(training.protected, [kind == "protected" for kind in plugin.learns_from()])
    rows = np.flatnonzero(asked)
    return training.rows(rows), labels[rows]


def success(scores: Array, n: int = 10) -> float:
    """success@1 of photos whose true genomes are the first columns."""
    from linkbench.metrics.scores import Scores

    ranks = count_ranks(Scores.dense(scores, np.arange(len(scores))))
    return float(expected_success(ranks, scores.shape[1], 1, [n])[0].mean())


@pytest.mark.parametrize("kind", LEARNERS)
class TestALeak:
    """A defence that makes every photo look like the next variant: the truth can be read off what it did."""

    def scores(self, kind: type[Learner], learns: str, table: Genomes, turned: int = 1, **more: Any) -> Array:
        plugin = kind(learns=learns, **more)
        learned = plugin.learn(*of_kind(*own_people(genomes(60, seed=9), protected=turned), plugin))
        return plugin.score(evidence(outputs(truth_of(table), PAPER, 5, turned)), table, learned)

    def test_is_found_by_who_learns_from_protected_photos(self, kind: type[Learner]) -> None:
        table = genomes(50)
        fooled = Predicted().score(evidence(outputs(truth_of(table), PAPER, 5, 1)), table, None)
        assert success(fooled) < 0.02
        assert success(self.scores(kind, "clean", table)) < 0.05
        assert success(self.scores(kind, "protected", table)) > 0.5
        assert success(self.scores(kind, "protected", table, people=20)) > 0.4

    def test_is_what_best_learns_from(self, kind: type[Learner]) -> None:
        table = genomes(50)
        best, protected = (self.scores(kind, learns, table) for learns in ("best", "protected"))
        assert success(best) == pytest.approx(success(protected), abs=0.05)

    def test_of_nothing_is_nothing(self, kind: type[Learner]) -> None:
        """Where protection changes nothing, either kind of photo teaches the same."""
        table = genomes(50)
        clean, protected = (success(self.scores(kind, learns, table, 0)) for learns in ("clean", "protected"))
        assert clean == pytest.approx(protected, abs=0.05)
        assert clean > 0.5


@given(st.integers(0, 1000), st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_outputs_that_tell_nothing_fit_all_genomes_alike(seed: int, people: int) -> None:
    random = np.random.default_rng(seed)
    table = genomes(12, seed=seed)
    same = np.tile(random.dirichlet(np.ones(PAPER.width), 1), (people + 5, 1))
    for span in PAPER.slices.values():
        same[:, span] /= same[:, span].sum(axis=1, keepdims=True)
    labels = np.stack([random.integers(-1, len(PAPER[name]), people) for name in PAPER], axis=1)
    plugin = Likelihood(learns="clean")
    scores = plugin.score(evidence(same[people:]), table, plugin.learn(evidence(same[:people]), labels))
    np.testing.assert_allclose(scores, 0.0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.1, 0.9])
def test_how_common_a_variant_is_among_his_people_does_not_matter(common: float) -> None:
    """Outputs x are Gaussian given the variant, so the true log-ratio is linear: 2 x whatever the frequencies."""
    schema = Schema({"ear": ("attached", "free")})
    random = np.random.default_rng(0)
    labels = (random.random(4000) > common).astype(np.int64)[:, None]
    logit = random.normal(loc=2.0 * labels[:, 0] - 1.0)
    shown = 1 / (1 + np.exp(-logit))
    plugin = Likelihood(learns="clean")
    learned = plugin.learn(evidence(np.stack([1 - shown, shown], axis=1), schema), labels)
    table = Genomes(schema, strings(["a", "b"]), np.log(np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]])))
    grid = np.linspace(-2, 2, 9)
    odds = 1 / (1 + np.exp(-grid))
    scores = plugin.score(evidence(np.stack([1 - odds, odds], axis=1), schema), table, learned)
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], 2 * grid, atol=0.8)


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_learns_from_as_many_people_as_it_has(kind: type[Learner]) -> None:
    table = genomes(30)
    training, labels = own_people(genomes(40, seed=9))
    assert training.person is not None
    few = np.flatnonzero(training.person < 12)
    target = evidence(outputs(truth_of(table), PAPER, 5, 1))
    limited = kind(people=12)
    one = limited.score(target, table, limited.learn(training, labels))
    other = kind().score(target, table, kind().learn(training.rows(few), labels[few]))
    np.testing.assert_allclose(one, other, atol=1e-12)
    with pytest.raises(InputError, match="learn from 41 people, but 40 are held out .* raise 'split.validation'"):
        kind(people=41).learn(training, labels)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("published", [True, False])
def test_nobodys_label_bears_on_his_own_score(kind: type[Learner], published: bool) -> None:
    """Labels of linked people are changed one by one: their own scores stay, those of others may move."""
    table = genomes(40)
    labels = truth_of(table)
    people = Cohort(
        PAPER, table.ids, np.arange(40) // 2, labels, np.arange(40), np.full(40, TEST),
        predictions=outputs(labels, PAPER, 4, 0),
    )  # fmt: skip
    linked = np.arange(40) if published else np.arange(20)

    def scores(cohort: Cohort) -> Array:
        def of(rows: Array) -> Artefact:
            assert cohort.predictions is not None
            return Artefact({"photo": rows, "probabilities": cohort.predictions[rows]}, {})

        held_out = {} if published else {name: of(np.arange(20, 40)) for name in ("clean", "protected")}
        target = gather(kind(), cohort, of(linked), held_out, 0)
        found = own_scores(kind(), table, target, group=False)
        return np.concatenate([block for _, block in found.blocks()], axis=1)[found.row]

    before, moved = scores(people), False
    for photo in (0, 7, 12):
        both = people.identity == people.identity[photo]
        other = np.where(both[:, None], MISSING, labels)
        after = scores(replace(people, labels=other))
        mine = both[linked]
        np.testing.assert_array_equal(after[mine], before[mine])
        moved |= bool((after[~mine] != before[~mine]).any())
    assert moved is published
