"""Several photos of a person: how they are grouped and fused, what leaks, and who is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkbench.api.data import TEST, Array, Artefact, Cohort, Genomes, most_likely, strings
from linkbench.api.schema import PAPER
from linkbench.attackers.likelihood import Likelihood
from linkbench.attackers.pooling import CORRELATIONS, calibrated_correlation, fused, units
from linkbench.errors import InputError
from linkbench.metrics.counting import count_ranks
from linkbench.metrics.ranking import expected_success
from linkbench.results.folder import read
from linkbench.stages.evidence import gather, own_scores
from linkbench.testing import conformance

PEOPLE, PHOTOS = 60, 4


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 6))
def test_units_are_of_one_person_as_few_and_as_equal_as_can_be(who: list[int], size: int) -> None:
    person = np.array(who, dtype=np.int64)
    unit = units(person, size)
    assert sorted(set(unit.tolist())) == list(range(len(set(unit.tolist()))))
    for one in set(who):
        mine = unit[person == one]
        assert not set(mine) & set(unit[person != one])
        counts = np.unique(mine, return_counts=True)[1]
        assert len(counts) == -(-len(mine) // size)
        assert counts.max() <= size
        assert counts.max() - counts.min() <= 1


@given(st.integers(0, 10**6), st.sampled_from(CORRELATIONS))
def test_fusion_is_a_sum_that_repeats_itself_as_far_as_photos_are_alike(seed: int, correlation: float) -> None:
    random = np.random.default_rng(seed)
    ratios, unit = random.normal(size=(9, 5)), random.permutation(np.repeat([0, 1, 2], [1, 3, 5]))
    found = fused(ratios, unit, correlation)
    for one, photos in enumerate((1, 3, 5)):
        worth = photos / (1 + (photos - 1) * correlation)
        np.testing.assert_allclose(found[one], worth * ratios[unit == one].mean(axis=0), atol=1e-12)


@pytest.mark.parametrize(("alike", "expected"), [(True, 1.0), (False, 0.0)])
def test_the_worth_of_a_second_photo_is_learned(alike: bool, expected: float) -> None:
    """Log-ratios of Gaussian outputs; photos of a person are the same photo, or independent given the variant."""
    random = np.random.default_rng(0)
    people = 2000
    labels = np.repeat(random.integers(0, 2, people), 3)
    noise = np.repeat(random.normal(size=people), 3) if alike else random.normal(size=3 * people)
    shown = (2.0 * labels - 1.0) * 0.7 + noise
    log_p = np.stack([-((shown + 0.7) ** 2) / 2, -((shown - 0.7) ** 2) / 2], axis=1)
    ratios = log_p - np.log(np.exp(log_p).mean(axis=1, keepdims=True))
    prior = np.log([0.5, 0.5])
    person = np.repeat(np.arange(people), 3)
    found = calibrated_correlation([ratios], [prior], labels[:, None], person, 3)
    assert found == pytest.approx(expected, abs=0.05)


def genomes(count: int) -> Genomes:
    random = np.random.default_rng(1)
    parts = []
    for name in PAPER:
        size = len(PAPER[name])
        table = np.full((count, size), 0.1 / (size - 1))
        table[np.arange(count), random.integers(0, size, count)] = 0.9
        parts.append(table)
    return Genomes(PAPER, strings([f"g{row}" for row in range(count)]), np.log(np.concatenate(parts, axis=1)))


def outputs(labels: Array, seed: int, told: float) -> Array:
    """Soft outputs, the further from chance the more is told."""
    random = np.random.default_rng(seed)
    parts = []
    for column, name in enumerate(PAPER):
        logits = random.normal(size=(len(labels), len(PAPER[name])))
        logits[np.arange(len(labels)), labels[:, column]] += told
        parts.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return np.concatenate(parts, axis=1)


class Pair:
    """Linked people and the attacker's own, several photos of each; clean photos tell more than protected ones."""

    def __init__(self, photos: int = PHOTOS) -> None:
        self.genomes = genomes(2 * PEOPLE)
        identity = np.repeat(np.arange(2 * PEOPLE), photos)
        labels = most_likely(self.genomes.log_p, PAPER)[identity]
        split = np.full(len(identity), TEST)
        self.people = Cohort(PAPER, strings([f"{n}" for n in range(len(identity))]), identity, labels, identity, split)
        self.linked = np.flatnonzero(identity < PEOPLE)
        self.own = np.flatnonzero(identity >= PEOPLE)
        self.shown = {
            kind: outputs(labels, seed, told) for kind, seed, told in (("protected", 1, 0.8), ("clean", 2, 3.0))
        }

    def of(self, kind: str, rows: Array) -> Artefact:
        return Artefact({"photo": rows, "probabilities": self.shown[kind][rows]}, {})

    def scores(self, linked: str = "protected", **params: Any) -> Any:
        plugin = Likelihood(**{"learns": "protected", **params})
        held_out = {kind: self.of(kind, self.own) for kind in plugin.learns_from()}
        if linked == "clean":
            held_out["protected"] = self.of("clean", self.own)
        target = gather(plugin, self.people, self.of(linked, self.linked), held_out, 3, self.of("clean", self.linked))
        return own_scores(plugin, self.genomes, target)

    def success(self, **params: Any) -> float:
        ranks = count_ranks(self.scores(**params))
        return float(expected_success(ranks, len(self.genomes), 1, [10])[0].mean())


def test_more_photos_tell_more_and_unprotected_ones_most() -> None:
    pair = Pair()
    curve = [pair.success(pool=pool) for pool in (1, 2, 4)]
    assert curve[0] + 0.02 < curve[1] < curve[2] - 0.02
    leaks = [pair.success(pool=4, leaked=leaked) for leaked in (0.0, 0.25, 1.0)]
    assert leaks[0] == curve[2]
    assert leaks[0] < leaks[1] < leaks[2]


def test_a_leak_of_everything_is_no_protection_and_photos_of_a_unit_share_a_rank() -> None:
    pair = Pair()
    leaked, plain = pair.scores(pool=2, leaked=1.0), pair.scores("clean", pool=2)
    assert count_ranks(leaked).better.sum() == pytest.approx(count_ranks(plain).better.sum(), rel=0.3)
    ranks = count_ranks(leaked).better.reshape(PEOPLE, PHOTOS)
    assert (ranks[:, 0] == ranks[:, 1]).all()
    assert (ranks[:, 2] == ranks[:, 3]).all()
    assert (ranks[:, 0] != ranks[:, 2]).any()
    one = pair.scores(leaked=1.0)
    np.testing.assert_array_equal(one.of_truth(), pair.scores("clean", learns="clean").of_truth())


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 1))
def test_the_part_that_leaks_is_that_part(leaked: float) -> None:
    pair = Pair()
    plugin = Likelihood(learns="clean", leaked=leaked)
    target = gather(
        plugin, pair.people, pair.of("protected", pair.linked), {"clean": pair.of("clean", pair.own)}, 0,
        pair.of("clean", pair.linked),
    )  # fmt: skip
    if not leaked:
        assert target.evidence.protected is None
        return
    assert target.evidence.protected is not None
    by_person = (~target.evidence.protected).reshape(PEOPLE, PHOTOS).sum(axis=1)
    assert set(by_person) <= {int(PHOTOS * leaked), int(PHOTOS * leaked) + 1}
    assert target.evidence.probabilities is not None
    source = np.where(
        target.evidence.protected[:, None], pair.shown["protected"][pair.linked], pair.shown["clean"][pair.linked]
    )
    np.testing.assert_array_equal(target.evidence.probabilities, source)


def test_one_photo_of_each_is_refused() -> None:
    with pytest.raises(InputError, match=r"2 photos of a person together, but there is one photo of each; bring a coh"):
        Pair(photos=1).scores(pool=2)
    with pytest.raises(InputError, match=r"each of the people that he learns from has one.*leave 'pool' out"):
        calibrated_correlation([np.zeros((3, 2))], [np.zeros(2)], np.zeros((3, 1), int), np.arange(3), 2)


@pytest.mark.parametrize("case", conformance("attacker", "likelihood", pool=2, leaked=0.5), ids=str)
def test_pooling_keeps_the_rules_of_attackers(case: Any) -> None:
    case()


def test_published_predictions_cannot_leak(home: Path, run_cli: Callable[..., Any]) -> None:
    head = "linkbench: 1\nname: a\ngenomes: paper-tables\ncohort: paper-tables\n"
    (home / "s.yaml").write_text(head + "attackers: {use: likelihood, leaked: 0.5}\n")
    found = run_cli("validate", home / "s.yaml")
    assert found.status == 2
    assert (
        "5:1: attackers: likelihood: cohort 'paper-tables' has no photos that could leak; leave 'leaked' out"
        in found.err
    )


@pytest.mark.slow
def test_a_run_with_several_photos_draws_its_curve(home: Path, run_cli: Callable[..., Any]) -> None:
    (home / "s.yaml").write_text(
        "linkbench: 1\nname: a\ncohort: {use: rendered, count: 80, per_identity: 4, size: 32}\n"
        "genomes: {use: simulated, count: 60}\nsplit: {test: 0.4, validation: 0.3}\n"
        "models: [{name: m, architecture: {use: small-cnn, width: 2}, recipe: {use: standard, epochs: 2}}]\n"
        "defenders: [none, blur]\n"
        "attackers: [{use: likelihood, learns: protected, pool: [1, 4], leaked: [0.0, 1.0]}]\n"
        "measure: {top_k: [1], sizes: [10], resamples: 100}\n"
    )
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    results = read(home / "out")
    found = {(row.defender, row.attacker): row.value for row in results.rows if row.metric == "success"}
    for pool in (1, 4):
        bare = found["none", f"likelihood(pool={pool}, leaked=0)"]
        assert found["blur", f"likelihood(pool={pool}, leaked=1)"] == pytest.approx(bare, abs=0.15)
    assert "Several photos of a person" in (home / "out/report.html").read_text()
