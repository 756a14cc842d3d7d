"""What every attacker must do, and what each claims to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from standins import joint

from linkbench.api.base import Attacker
from linkbench.api.data import MISSING, TEST, Artefact, Cohort, Evidence, Genomes, most_likely, strings
from linkbench.api.schema import HIRISPLEX, PAPER, Schema
from linkbench.attackers.assignment import Assignment, prices
from linkbench.attackers.bayes import normalised
from linkbench.attackers.calibrated import Calibrated
from linkbench.attackers.predicted import GroundTruth, Known, Predicted
from linkbench.attackers.soft import Soft
from linkbench.errors import PluginError
from linkbench.metrics.settings import Measure
from linkbench.plan.task import Task
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec
from linkbench.stages.evidence import FOLDS, gather, own_scores
from linkbench.stages.matching import matched
from linkbench.stages.rank import rank

NAMES = sorted(registry().plugins["attacker"])
EVIDENCE = {"variants", "probabilities", "truth", "ancestry"}


def attacker(name: str) -> Attacker:
    plugin: Attacker = registry().load("attacker", name)()
    return plugin


def some_genomes(count: int, schema: Schema = PAPER, seed: int = 0, scale: float = 1.0) -> Genomes:
    """Random tables; a scale below 1 leaves the variants of a phenotype summing to less than 1, as in the paper."""
    random = np.random.default_rng(seed)
    parts = [random.dirichlet(np.full(len(schema[name]), 0.4), count) for name in schema]
    log_p = np.log(np.maximum(np.concatenate(parts, axis=1) * scale, 1e-7))
    return Genomes(schema, strings([f"g{row}" for row in range(count)]), log_p, np.arange(count) % 3)


def some_people(count: int, genomes: Genomes, seed: int = 1, unknown: float = 0.1) -> Cohort:
    """People with blurred predictions and some unknown labels; two photos of every second person."""
    random = np.random.default_rng(seed)
    schema = genomes.schema
    truth = random.permutation(len(genomes))[:count]
    truth[1::2] = truth[::2][: len(truth[1::2])]
    labels = np.stack([genomes.log_p[truth, span].argmax(axis=1) for span in schema.slices.values()], axis=1)
    labels[random.random(labels.shape) < unknown] = MISSING
    parts = [random.dirichlet(np.ones(len(schema[name])), count) for name in schema]
    return Cohort(
        schema, strings([f"p{row}" for row in range(count)]), truth.astype(np.int64), labels, truth,
        np.full(count, TEST), predictions=np.concatenate(parts, axis=1),
    )  # fmt: skip


def published(people: Cohort) -> Artefact:
    assert people.predictions is not None
    return Artefact({"photo": np.arange(len(people)), "probabilities": people.predictions}, {})


def everything(people: Cohort) -> Evidence:
    assert people.predictions is not None
    return Evidence(
        people.schema, len(people), most_likely(people.predictions, people.schema), people.predictions, people.labels,
        ancestry=people.truth % 3,
    )  # fmt: skip


def shown(plugin: Attacker, evidence: Evidence) -> Evidence:
    """Only what the attacker asks for."""
    return replace(evidence, **dict.fromkeys(EVIDENCE - plugin.sees))


@pytest.mark.parametrize("schema", [PAPER, HIRISPLEX], ids=["paper", "hirisplex"])
@pytest.mark.parametrize("name", NAMES)
class TestEveryAttacker:
    """Table of behaviour; `score` gets no more than the attacker declares, so undeclared needs fail here too."""

    @pytest.fixture(autouse=True)
    def _prepare(self, name: str, schema: Schema) -> None:
        self.plugin = attacker(name)
        self.genomes = some_genomes(41, schema)
        self.people = some_people(23, self.genomes)
        self.evidence = shown(self.plugin, everything(self.people))
        self.learned = self.plugin.learn(self.evidence, self.people.labels)
        self.scores = self.plugin.score(self.evidence, self.genomes, self.learned)

    def test_scores_are_finite_numbers_for_every_pair(self) -> None:
        assert self.scores.shape == (23, 41)
        assert self.scores.dtype == np.float64
        assert np.isfinite(self.scores).all()

    def test_a_score_depends_on_its_pair_alone(self) -> None:
        order = np.random.default_rng(0).permutation(41)
        shuffled = replace(self.genomes, ids=self.genomes.ids[order], log_p=self.genomes.log_p[order])
        renumbered = self.plugin.score(self.evidence, shuffled, self.learned)
        np.testing.assert_allclose(renumbered, self.scores[:, order], rtol=0, atol=1e-12)
        some = np.array([4, 19, 4])
        alone = self.plugin.score(self.evidence.rows(some), self.genomes, self.learned)
        np.testing.assert_allclose(alone, self.scores[some], rtol=0, atol=1e-12)

    def test_certain_predictions_and_impossible_variants_are_finite(self) -> None:
        certain = np.zeros_like(self.people.predictions)
        certain[:, [span.start for span in self.people.schema.slices.values()]] = 1.0
        people = replace(self.people, predictions=certain, labels=np.full_like(self.people.labels, MISSING))
        evidence = shown(self.plugin, everything(people))
        floored = replace(self.genomes, log_p=np.where(self.genomes.log_p < -1, np.log(1e-300), self.genomes.log_p))
        learned = self.plugin.learn(evidence.rows(np.arange(0)), people.labels[:0])
        assert np.isfinite(self.plugin.score(evidence, floored, learned)).all()

    def test_only_declared_evidence_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Evidence] = []
        cls = type(self.plugin)
        learn, score = cls.learn, cls.score

        def spy_learn(me: Any, training: Evidence, labels: Any) -> Any:
            seen.append(training)
            return learn(me, training, labels)

        def spy_score(me: Any, evidence: Evidence, genomes: Genomes, learned: Any) -> Any:
            seen.append(evidence)
            return score(me, evidence, genomes, learned)

        monkeypatch.setattr(cls, "learn", spy_learn)
        monkeypatch.setattr(cls, "score", spy_score)
        target = gather(self.plugin, self.people, published(self.people), {}, 0, None, self.genomes.ancestry)
        scores = own_scores(self.plugin, self.genomes, target)
        list(scores.blocks())
        assert seen
        assert self.plugin.sees <= EVIDENCE
        for evidence in seen:
            assert {name for name in EVIDENCE if getattr(evidence, name) is not None} == self.plugin.sees

    def test_nobody_is_judged_by_what_his_own_photos_teach(self) -> None:
        target = gather(self.plugin, self.people, published(self.people), {}, 0, None, self.genomes.ancestry)
        judged = np.concatenate([examples.photos for examples in target.lessons])
        assert sorted(judged.tolist()) == list(range(23))
        learns = type(self.plugin).learn is not Attacker.learn
        assert len(target.lessons) == (FOLDS if learns else 1)
        for examples in target.lessons:
            others = ~np.isin(self.people.identity, self.people.identity[examples.photos])
            assert examples.labels.tolist() == (self.people.labels[others].tolist() if learns else [])
            assert len(examples.training) == len(examples.labels)

    @pytest.mark.slow
    def test_grouping_changes_no_score(self) -> None:
        twice = np.tile(np.arange(41), 3)
        genomes = Genomes(self.genomes.schema, strings([f"g{row}" for row in range(123)]), self.genomes.log_p[twice])
        target = gather(self.plugin, self.people, published(self.people), {}, 0, None, self.genomes.ancestry)
        tables = []
        for group in (True, False):
            scores = own_scores(self.plugin, genomes, target, group=group)
            assert scores.population == 123
            tables.append((scores.of_truth(), np.concatenate([block for _, block in scores.blocks()], axis=1)))
        np.testing.assert_allclose(tables[0][0], tables[1][0], rtol=0, atol=1e-12)
        assert tables[0][1].shape[1] == 41


def test_held_out_photos_teach_where_there_are_some() -> None:
    genomes = some_genomes(30)
    people = some_people(20, genomes)
    assert people.predictions is not None
    linked, held_out = (
        Artefact({"photo": index, "probabilities": people.predictions[index]}, {})
        for index in (np.arange(12), np.arange(12, 20))
    )
    target = gather(Calibrated(learns="clean"), people, linked, {"clean": held_out}, 0)
    assert target.truth.tolist() == people.truth[:12].tolist()
    [examples] = target.lessons
    assert examples.photos.tolist() == list(range(12))
    assert examples.labels.tolist() == people.labels[12:].tolist()


def test_known_of_everything_is_ground_truth() -> None:
    genomes = some_genomes(40, scale=0.3)
    evidence = everything(some_people(20, genomes, unknown=0.0))
    known = Known(phenotypes=PAPER.names).score(evidence, genomes, None)
    assert known.tolist() == GroundTruth().score(evidence, genomes, None).tolist()
    partly = Known(phenotypes=("eye", "sex")).score(evidence, genomes, None)
    assert evidence.variants is not None
    assert evidence.truth is not None
    mixed = np.where([True, False, True, False], evidence.truth, evidence.variants)
    assert partly.tolist() == Predicted().score(replace(evidence, variants=mixed), genomes, None).tolist()


def test_known_falls_back_on_predictions_where_nobody_knows() -> None:
    genomes = some_genomes(40)
    people = some_people(20, genomes)
    evidence = everything(replace(people, labels=np.full_like(people.labels, MISSING)))
    known = Known(phenotypes=PAPER.names).score(evidence, genomes, None)
    assert known.tolist() == Predicted().score(evidence, genomes, None).tolist()


def test_calibrated_with_perfect_predictors_is_predicted_on_a_normalised_table() -> None:
    genomes = some_genomes(40, scale=0.2)
    evidence = everything(some_people(20, genomes))
    perfect = [np.eye(len(PAPER[name])) for name in PAPER]
    scaled = replace(genomes, log_p=np.log(normalised(genomes)))
    np.testing.assert_allclose(
        Calibrated().score(evidence, genomes, perfect), Predicted().score(evidence, scaled, None), atol=1e-12
    )


def test_soft_with_certain_predictors_and_a_flat_prior_is_predicted_on_a_normalised_table() -> None:
    genomes = some_genomes(40, scale=0.2)
    people = some_people(20, genomes)
    flat = [np.full(len(PAPER[name]), 1 / len(PAPER[name])) for name in PAPER]
    evidence = everything(people)
    assert evidence.variants is not None
    hot = np.zeros((20, PAPER.width))
    for column, span in enumerate(PAPER.slices.values()):
        hot[np.arange(20), span.start + evidence.variants[:, column]] = 1.0
    scaled = replace(genomes, log_p=np.log(normalised(genomes)))
    scores = Soft().score(replace(evidence, probabilities=hot), genomes, flat)
    constant = np.log(PAPER.combinations)
    np.testing.assert_allclose(scores - constant, Predicted().score(evidence, scaled, None), atol=1e-9)


def test_calibrated_learns_the_confusion_matrix() -> None:
    schema = Schema({"ear": ("attached", "free")})
    labels = np.array([[0]] * 6 + [[1]] * 3 + [[MISSING]])
    variants = np.array([[0]] * 4 + [[1]] * 5 + [[0]])
    [confusion] = Calibrated().learn(Evidence(schema, 10, variants), labels)
    np.testing.assert_allclose(confusion, [[5 / 8, 3 / 8], [1 / 5, 4 / 5]])
    [prior] = Soft().learn(Evidence(schema, 10), labels)
    np.testing.assert_allclose(prior, [7 / 11, 4 / 11])


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("setting", ["realistic", "ideal"])
def test_on_the_papers_data_knowing_more_helps(paper_rows: Any, setting: str, k: int) -> None:
    success = {name: rows[("success", k, 10)].value for (where, name), rows in paper_rows.items() if where == setting}
    assert success["calibrated"] > success["predicted"] > success["random"]
    assert success["ground-truth"] > success["known"]


tables = st.integers(2, 7).flatmap(
    lambda columns: st.integers(1, columns).flatmap(
        lambda rows: st.lists(
            st.sampled_from([-30.0, -2.5, -1.0, -1.0 + 1e-13, 0.0, 0.1, 0.7, 3.0]),
            min_size=rows * columns,
            max_size=rows * columns,
        ).map(lambda values: np.array(values).reshape(rows, columns))
    )
)


@pytest.mark.slow
@given(scores=tables)
def test_prices_are_dual_to_the_matching(scores: Any) -> None:
    rows, columns = linear_sum_assignment(scores, maximize=True)
    price = prices(scores, rows, columns)
    gain = scores[rows, columns] - price[columns]
    free = np.setdiff1d(np.arange(scores.shape[1]), columns)
    assert np.all(price >= 0)
    assert np.all(price[free] <= 1e-9)  # what nobody takes costs nothing
    assert np.all(scores - price <= gain[:, None] + 1e-9)  # everybody is content
    # strong duality: no matching can be worth more than these gains and prices together
    assert gain.sum() + price.sum() == pytest.approx(scores[rows, columns].sum(), abs=1e-8)


@pytest.mark.slow
@given(scores=tables)
def test_the_match_is_one_to_one_and_beats_greed(scores: Any) -> None:
    met = Assignment().compete(scores)
    assert np.isfinite(met).all()
    chosen = met.argmax(axis=1)
    assert len(set(chosen.tolist())) == len(scores)
    free, greedy = scores.copy(), 0.0
    for _ in scores:  # the best pair that is left, again and again
        photo, genome = np.unravel_index(free.argmax(), free.shape)
        greedy += scores[photo, genome]
        free[photo], free[:, genome] = -np.inf, -np.inf
    assert scores[np.arange(len(scores)), chosen].sum() >= greedy - 1e-9


SIZES = Measure.model_validate({"sizes": [2, 10, "all"], "top_k": [1, 3]})


def match(genomes: Genomes, people: Cohort, seed: int = 0) -> Any:
    """The drawn populations of an assignment, and its match of everybody."""
    target = gather(Assignment(), people, published(people), {}, 0)
    return matched(joint(Assignment(), genomes, target), len(genomes), target, SIZES, seed)


def alike(count: int) -> tuple[Genomes, Cohort]:
    """Genomes that nobody can tell apart, each of one person, in the same order."""
    genomes = some_genomes(count)
    genomes = replace(genomes, log_p=np.repeat(genomes.log_p[:1], count, axis=0))
    people = some_people(count, genomes)
    order = np.arange(count)
    return genomes, replace(people, truth=order, identity=order)


@pytest.mark.slow
def test_ties_of_a_match_are_broken_by_chance_and_not_by_file_order() -> None:
    genomes, people = alike(60)
    _, drawn = match(genomes, people)
    assert drawn["sampled_sizes"].tolist() == [2, 10, 60]
    means = drawn["sampled_success"].mean(axis=2)
    for row, size in enumerate((2, 10, 60)):
        for column, k in enumerate((1, 3)):
            expected = min(k / size, 1.0)
            tolerance = 5 * np.sqrt(expected * (1 - expected) / drawn["sampled_draws"][row].sum())
            assert means[row, column] == pytest.approx(expected, abs=tolerance + 1e-12)
    spec = parse_spec("attacker", "assignment", ())[0][0]
    settings = {"sizes": [10], "top_k": [1]}
    inputs = {"genomes": genomes.artefact(), "cohort": people.artefact(), "predict": published(people)}
    ranked = rank(Task(inputs, {"attacker": spec}, settings, 0, "cpu"))
    assert ranked.meta["auc"] == pytest.approx(0.5, abs=0.1)
    assert (ranked.array("better") == 0).mean() < 0.2  # 1/60 is expected, file order would give 1


@pytest.mark.slow
def test_a_match_does_not_depend_on_the_order_of_photos_and_genomes() -> None:
    genomes = some_genomes(80)
    people = some_people(80, genomes)
    order = np.random.default_rng(5).permutation(80)
    back = np.argsort(order)
    shuffled = replace(
        people,
        **{name: getattr(people, name)[order] for name in ("ids", "identity", "labels", "predictions")},
        truth=back[people.truth[order]],
    )
    _, one = match(genomes, people)
    _, other = match(replace(genomes, ids=genomes.ids[order], log_p=genomes.log_p[order]), shuffled, seed=1)
    assert one["sampled_draws"].sum(axis=1)[0] >= 1000
    for row in range(3):
        first, second = (drawn["sampled_success"][row].mean(axis=1) for drawn in (one, other))
        np.testing.assert_allclose(first, second, atol=0.05)


def test_a_match_uses_that_genomes_are_taken() -> None:
    """Two photos look like genome 0, one of them also like genome 1: only a match gives each its own."""
    schema = Schema({"ear": ("attached", "free"), "nose": ("long", "short")})
    log_p = np.log(np.array([[0.9, 0.1, 0.9, 0.1], [0.8, 0.2, 0.2, 0.8]]))
    genomes = Genomes(schema, strings(["a", "b"]), log_p)
    evidence = Evidence(schema, 2, np.array([[0, 0], [0, 0]]), np.array([[0.9, 0.1, 0.9, 0.1]] * 2))
    scores = Predicted().score(evidence, genomes, None)
    scores[1, 1] += 1.0
    assert scores.argmax(axis=1).tolist() == [0, 0]
    assert Assignment().compete(scores).argmax(axis=1).tolist() == [0, 1]


class _Fickle(Attacker):
    """The first answer favours nobody, the second everybody else's rivals: whoever trusts it links all photos."""

    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Any:
        CALLS.append(len(genomes))
        return np.full((len(evidence), len(genomes)), 1.0 if len(CALLS) == 1 else 0.0)


class _Imaginary(Attacker):
    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Any:
        return np.full((len(evidence), len(genomes)), 1j)


class _Disguised(Attacker):
    def score(self, evidence: Evidence, genomes: Genomes, learned: Any) -> Any:
        return np.zeros((len(evidence), len(genomes))).view(np.matrix)


CALLS: list[int] = []


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (_Fickle, "scored one photo and genome 1 and, asked again, 0; a score may depend on nothing but"),
        (_Imaginary, "must return real numbers as scores, it returned complex128"),
        (_Disguised, "it returned matrix"),
    ],
)
def test_scores_that_are_no_scores_are_refused(cls: type[Attacker], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    genomes = some_genomes(12)
    people = some_people(6, genomes)
    spec = parse_spec("attacker", "predicted", ())[0][0]._replace(label="hostile")
    monkeypatch.setattr(type(spec), "plugin", lambda self: cls())
    inputs = {"genomes": genomes.artefact(), "cohort": people.artefact(), "predict": published(people)}
    with pytest.raises(PluginError, match=why):
        rank(Task(inputs, {"attacker": spec}, {}, 0, "cpu"))


def test_a_phenotype_left_open_is_no_reading() -> None:
    genomes = some_genomes(40)
    evidence = everything(some_people(20, genomes, unknown=0.0))
    probabilities = np.concatenate([np.full((20, len(PAPER[name])), 1 / len(PAPER[name])) for name in PAPER], axis=1)
    evidence = replace(evidence, variants=most_likely(probabilities, PAPER), probabilities=probabilities)
    assert not Predicted().score(evidence, genomes, None).any()
    assert evidence.truth is not None
    eyes = PAPER.slices["eye"].start + evidence.truth[:, PAPER.names.index("eye")]
    np.testing.assert_allclose(Known(phenotypes=("eye",)).score(evidence, genomes, None), genomes.log_p[:, eyes].T)
    probabilities[:, PAPER.slices["hair"]] = [0.5, 0.25, 0.25]
    black = np.tile(genomes.log_p[:, PAPER.slices["hair"].start], (20, 1))
    np.testing.assert_allclose(Predicted().score(evidence, genomes, None), black)
