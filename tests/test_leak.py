"""No attacker of a small world, whom we can work out exactly, does better than the bound; perfect secrecy is chance."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkbench.metrics.leak import divergence, success_bound

Array = npt.NDArray[np.float64]


def world(seed: int, genomes: int, variants: int, outputs: int, sharpness: float) -> tuple[Array, Array]:
    """P(variant | genome) [G, T] and P(output | variant) [T, O], at random."""
    random = np.random.default_rng(seed)
    of_genome = random.dirichlet(np.full(variants, 1 / sharpness), genomes)
    of_variant = random.dirichlet(np.full(outputs, 1 / sharpness), variants)
    return of_genome, of_variant


def information(joint: Array) -> float:
    """Mutual information of a joint distribution, bits."""
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log2(joint[seen] / apart[seen])).sum())


def best_success(of_genome: Array, of_variant: Array, k: int, n: int) -> float:
    """Success@k of Bayes' attacker: the true genome is one of n at random, without replacement, out of the pile."""
    likelihood = of_genome @ of_variant  # [G, O]
    total, count = 0.0, 0
    for chosen in itertools.combinations(range(len(of_genome)), n):
        best = np.sort(likelihood[list(chosen)], axis=0)[-k:]
        total += best.sum() / n
        count += 1
    return total / count


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    genomes=st.integers(2, 7),
    variants=st.integers(2, 4),
    outputs=st.integers(1, 4),
    sharpness=st.sampled_from([0.3, 1.0, 10.0, 100.0]),
    size=st.data(),
)
def test_bayes_stays_below(
    seed: int, genomes: int, variants: int, outputs: int, sharpness: float, size: st.DataObject
) -> None:
    of_genome, of_variant = world(seed, genomes, variants, outputs, sharpness)
    n = size.draw(st.integers(2, genomes))
    k = size.draw(st.integers(1, n))
    truth = of_genome.mean(axis=0)
    bits = information(truth[:, None] * of_variant)
    assert best_success(of_genome, of_variant, k, n) <= success_bound(bits, k, n) + 1e-9


def test_a_decoy_that_ignores_the_truth_leaves_chance() -> None:
    of_genome, _ = world(3, 6, 3, 3, 1.0)
    secret = np.tile([0.2, 0.5, 0.3], (3, 1))
    assert information(of_genome.mean(axis=0)[:, None] * secret) == pytest.approx(0, abs=1e-12)
    for k, n in ((1, 2), (1, 6), (2, 5)):
        assert best_success(of_genome, secret, k, n) == pytest.approx(k / n)
        assert success_bound(0.0, k, n) == k / n


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    variants=st.integers(2, 4),
    outputs=st.integers(2, 5),
    alike=st.booleans(),
    genomes=st.integers(3, 6),
)
def test_what_is_not_matched_bounds_the_leak(seed: int, variants: int, outputs: int, alike: bool, genomes: int) -> None:
    """Of photos that are matched o is the decoy's; of the others it is what it would be without a defence."""
    random = np.random.default_rng(seed)
    of_genome, without = world(seed, genomes, variants, outputs, 5.0)
    truth, decoy = of_genome.mean(axis=0), random.dirichlet(np.ones(outputs))
    matched = np.full(variants, random.uniform()) if alike else random.uniform(size=variants)
    of_variant = matched[:, None] * decoy + (1 - matched)[:, None] * without
    bits = information(truth[:, None] * of_variant)
    share, rest = float(truth @ matched), truth * (1 - matched)
    told_by_matching = information(np.stack([truth * matched, rest], axis=1))
    left = rest / rest.sum()
    bound = told_by_matching + (1 - share) * float(-(left[left > 0] * np.log2(left[left > 0])).sum())
    assert bits <= bound + 1e-9
    assert best_success(of_genome, of_variant, 1, 3) <= success_bound(bound, 1, 3) + 1e-9
    if alike:
        assert told_by_matching == pytest.approx(0, abs=1e-9)


def test_another_network_may_see_all_that_is_hidden_from_the_first() -> None:
    """A photo of two pixels: the first was matched and shows the decoy, the second still shows the truth."""
    truth, decoy = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.4])
    photo = truth[:, None, None] * decoy[None, :, None] * np.eye(3)[:, None, :]  # [v, first pixel, second pixel]
    assert information(photo.sum(axis=2)) == pytest.approx(0, abs=1e-12)
    assert information(photo.sum(axis=1)) == pytest.approx(float(-(truth * np.log2(truth)).sum()))


@pytest.mark.parametrize("n", [2, 10, 1000])
def test_the_bound_is_reached_by_certain_knowledge(n: int) -> None:
    assert success_bound(np.log2(n), 1, n) == 1
    assert success_bound(np.log2(n) - 1e-6, 1, n) < 1


@given(bits=st.floats(1e-6, 12), n=st.integers(2, 10**6), k=st.integers(1, 5))
def test_it_solves_its_equation_and_rises(bits: float, n: int, k: int) -> None:
    k = min(k, n - 1)
    bound = success_bound(bits, k, n)
    assert k / n <= bound <= 1
    if bound < 1:
        assert divergence(bound, k / n) == pytest.approx(bits, rel=1e-6, abs=1e-9)
    assert success_bound(bits * 1.1, k, n) >= bound
    # Pinsker's inequality gives a looser bound
    assert bound <= k / n + np.sqrt(bits * np.log(2) / 2) + 1e-9


def test_estimates_below_nothing_are_chance_and_nonsense_is_refused() -> None:
    assert success_bound(-0.1, 1, 10) == 0.1
    for k in (0, 11):
        with pytest.raises(ValueError, match="1 to n = 10"):
            success_bound(1.0, k, 10)
