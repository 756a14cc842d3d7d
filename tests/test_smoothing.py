"""Randomised smoothing: bounds that hold, votes that depend on the photo alone, and no attack below its certificate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from standins import random_photos
from torch import Tensor, nn

from linkbench.api.schema import PAPER, Schema
from linkbench.defenders.pgd import Ascent
from linkbench.metrics import certificates, ranking
from linkbench.models.filters import Filter, Filtered, judge_with
from linkbench.models.looks import Noise, mean_answer
from linkbench.models.predictor import Predictor
from linkbench.plan.make import make_plan
from linkbench.recipes.smoothed import Smoothed
from linkbench.results.folder import read
from linkbench.scenario.load import parse_scenario
from linkbench.scenario.yaml import parse_yaml

TWO = Schema({"sex": ["female", "male"], "eye": ["blue", "grey", "brown"]})


@pytest.mark.parametrize(("hits", "draws"), [(0, 10), (10, 10), (3, 10), (990, 1000)])
def test_bounds_are_those_of_the_exact_test(hits: int, draws: int) -> None:
    low, high = certificates.clopper_pearson(np.array([hits]), draws, 0.01)
    exact = stats.binomtest(hits, draws).proportion_ci(0.98, method="exact")
    np.testing.assert_allclose([low[0], high[0]], [exact.low, exact.high], atol=1e-12)


def linear(direction: Tensor, thresholds: tuple[float, float]) -> Callable[[Tensor], Tensor]:
    """A network of which everything is known: sex and eye are read off how far a photo lies along a direction."""

    def network(photos: Tensor) -> Tensor:
        along = (photos.flatten(1) - 0.5) @ direction
        sex = torch.stack([-along, along], dim=1)
        eye = torch.stack([thresholds[0] - along, torch.zeros_like(along), along - thresholds[1]], dim=1)
        return torch.cat([sex, eye], dim=1)

    return network


def smooth(network: Callable[[Tensor], Tensor], sigma: float, draws: int, secret: int | None = 7) -> Predictor:
    class Net(nn.Module):
        def forward(self, photos: Tensor) -> Tensor:
            return network(photos)

    view = Filter(Smoothed(sigma=sigma, draws=draws, recipe="pretrained"), {"variants": torch.tensor([2, 3])})
    filtered = Filtered(view, Net())
    if secret is not None:
        judge_with(filtered, secret)
    return Predictor(filtered, TWO).eval()


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.4, 0.4), st.floats(0.05, 0.5), st.integers(0, 1 << 30))
def test_no_change_shorter_than_the_radius_turns_a_vote_against_a_network_of_which_all_is_known(
    start: float, sigma: float, seed: int
) -> None:
    """The worst change of a linear network is along its direction, so it can be tried."""
    direction = torch.zeros(3 * 4 * 4)
    direction[0] = 1.0
    draws = 400
    photo = torch.full((1, 3, 4, 4), 0.5)
    photo[0, 0, 0, 0] += start
    predictor = smooth(linear(direction, (-0.2, 0.2)), sigma, draws, seed)
    counts = np.rint(predictor(photo).exp().double().numpy() * draws)
    radius = certificates.radii(counts, draws, sigma, TWO)[0]
    for columns in TWO.slices.values():
        for variant in range(columns.start, columns.stop):
            for length in (-0.99 * radius[variant], 0.99 * radius[variant]):
                moved = photo.clone()
                moved[0, 0, 0, 0] += length
                won = columns.start + int(predictor(moved)[0, columns].argmax())
                assert won != variant or radius[variant] == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), st.integers(100, 5000))
def test_radii_stay_below_those_that_are_known_exactly(weights: list[float], draws: int) -> None:
    """For two variants Cohen's theorem is exact: sigma times the quantile of the probability, less what votes cost."""
    share = weights[0] / sum(weights)
    one = Schema({"sex": ["female", "male"]})
    counts = np.array([[round(share * draws), draws - round(share * draws)]])
    radius = certificates.radii(counts, draws, 0.25, one)[0]
    for variant in range(2):
        true = 0.25 * stats.norm.ppf(min(1 - counts[0, variant] / draws, 1 - 1e-12))
        assert radius[variant] <= max(true, 0)
    assert radius.min() == 0, "one of them must win"
    more = certificates.radii(4 * counts, 4 * draws, 0.25, one)[0]
    assert (more >= radius).all(), "more votes for the same shares are never worth less"
    np.testing.assert_allclose(certificates.radii(counts, draws, 0.5, one)[0], 2 * radius)


def test_an_attacker_s_vote_has_the_error_that_is_allowed_at_most() -> None:
    """Probabilities at the very edge that a radius of zero allows: the vote is drawn many times."""
    draws, error = 200, 0.05
    random = np.random.default_rng(0)
    rival = np.array([0.5])
    gap = np.sqrt(1 - error ** (1 / draws))
    variant = (np.sqrt(rival) - gap) ** 2
    assert certificates._distance(rival, variant * 0.99, draws, error)[0] > 0
    assert certificates._distance(rival, variant * 1.01, draws, error)[0] == 0
    drawn = random.multinomial(draws, [rival[0], variant[0], 1 - rival[0] - variant[0]], size=100_000)
    assert (drawn[:, 1] >= drawn[:, 0]).mean() <= error


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 30))
def test_certified_success_is_the_worst_of_what_may_be_predicted(seed: int) -> None:
    random = np.random.default_rng(seed)
    photos, population = 4, 30
    radius = np.where(random.random((photos, TWO.width)) < 0.4, 0.0, random.random((photos, TWO.width)))
    for span in TWO.slices.values():
        radius[np.arange(photos), random.integers(span.start, span.stop, photos)] = 0.0
    every = certificates.combinations(TWO).tolist()
    assert every == [list(pair) for pair in itertools.product(range(3), range(4))]
    better = random.integers(0, population, (photos, len(every)))
    tied = np.minimum(random.integers(0, 4, better.shape), population - 1 - better)
    reach = certificates.reach(radius, TWO)
    made = certificates.certified(reach, ranking.Ranks(better, tied), population, [1, 3], [5, 30])
    length = random.random(photos)
    found = made.at(length)
    options = [[*row[span], max(row[span])] for row in radius.tolist() for span in TWO.slices.values()]
    for photo, (place, k) in itertools.product(range(photos), enumerate((1, 3))):
        worst = min(
            ranking.expected_success(
                ranking.Ranks(better[photo, at : at + 1], tied[photo, at : at + 1]), population, k, [5]
            )[0, 0]
            for at, (sex, eye) in enumerate(every)
            if max(options[2 * photo][sex], options[2 * photo + 1][eye]) <= length[photo]
        )
        assert found[place, 0, photo] == pytest.approx(worst)
    assert (made.at(length) <= made.at(length / 2) + 1e-15).all(), "a longer change takes no less"


def test_votes_depend_on_the_photo_and_the_secret_alone() -> None:
    photos = random_photos(5, 8)
    torch.manual_seed(0)
    weights = torch.randn(192)
    network = linear(weights / weights.norm(), (-0.1, 0.1))
    whole = smooth(network, 0.3, 50)(photos)
    alone = torch.cat([smooth(network, 0.3, 50)(photos[row : row + 1]) for row in range(5)])
    assert torch.equal(whole, alone)
    assert not torch.equal(whole, smooth(network, 0.3, 50, secret=8)(photos))
    counts = whole.exp() * 50
    torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)
    assert torch.allclose(whole.exp()[:, :2].sum(1), torch.ones(5))


def test_gradients_go_through_the_mean_of_a_few_looks() -> None:
    photos = random_photos(2, 8).requires_grad_()
    torch.manual_seed(0)
    network = linear(torch.randn(192), (-1.0, 1.0))
    out = smooth(network, 0.3, 50, secret=None)(photos)
    (gradient,) = torch.autograd.grad(out[:, 0].sum(), photos)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    logits = [torch.randn(2, 5) for _ in range(3)]
    mean = mean_answer(logits, [2, 3]).exp() / 3
    each = [torch.cat([look[:, :2].softmax(1), look[:, 2:].softmax(1)], 1) for look in logits]
    expected = torch.stack(each).mean(0)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(mean_answer([logits[0][:, :3]], [2, 3]).exp(), logits[0][:, :3].softmax(1))
    noise = Noise(photos).next()
    assert abs(float(noise.mean())) < 0.2
    assert float(noise.std()) == pytest.approx(1.0, abs=0.1)


def test_the_steepest_way_in_the_2_norm_is_along_the_gradient() -> None:
    """Of a linear score the best change of length 0.3 is known."""
    from linkbench.api.knowledge import Knowledge
    from linkbench.defenders.joint_pgd import JointPGD

    torch.manual_seed(0)
    direction = torch.randn(192)
    direction /= direction.norm()
    photos = torch.full((2, 3, 8, 8), 0.5)

    def predictor(shown: Tensor) -> Tensor:
        along = (shown.flatten(1) - 0.5) @ direction
        return torch.stack([-along, along], dim=1).log_softmax(1)

    schema = Schema({"sex": ["female", "male"]})
    log_p = torch.log(torch.tensor([[0.9, 0.1], [0.9, 0.1]]))
    told = Knowledge(schema, (0, 1), 0, predictor=predictor, log_p=log_p, reference=log_p)
    for start in (False, True):
        attack = JointPGD(epsilon=0.3, norm=2, objective="expected", random_start=start)
        assert attack.budget().norm == "l2"
        change = (attack.perturb(photos, told) - photos).flatten(1)
        assert (change.norm(dim=1) <= 0.3 + 1e-6).all()
        assert (change @ direction > 0.28).all()
    assert Ascent(0.3, euclidean=True).pixel(9) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="optimiser adam moves every pixel by itself"):
        JointPGD(norm=2, optimiser="adam")


HEAD = """\
linkbench: 1
name: a
cohort: {use: rendered, count: 100, size: 32}
genomes: {use: simulated, count: 100}
models:
  - name: smooth
    architecture: {use: small-cnn, width: 4, shared: true}
    recipe: {use: smoothed, sigma: 0.25, draws: 200, recipe: {use: standard, epochs: 6, learning_rate: 0.01}}
"""


def test_no_attack_falls_below_its_certificate(home: Path, run_cli: Callable[..., Any]) -> None:
    """No mean success in a table, whatever the attack knows and however the change is bounded."""
    (home / "s.yaml").write_text(
        HEAD + "defenders: [none, {use: joint-pgd, norm: 2, epsilon: [0.05, 0.2], steps: 8}, "
        "{use: joint-pgd, epsilon: 0.01, steps: 4, objective: rank}, {use: noise, epsilon: 0.01}]\n"
        "attackers: [predicted, {use: calibrated, learns: clean}, {use: likelihood, learns: clean}]\n"
        "measure: {top_k: [1, 5], sizes: [10, 100], resamples: 100, radii: [0, 0.05, 0.2]}\n"
    )
    assert run_cli("run", home / "s.yaml", "--out", "out").status == 0
    results = read(home / "out")
    found = {(row.cell, row.metric, row.k, row.n): row for row in results.rows}
    compared = 0
    for (cell, metric, k, n), row in found.items():
        if metric.partition(":")[0] == "certified_success":
            assert row.attacker != "likelihood(learns=clean)", "votes are all that is certified"
            reached = found[cell, "success", k, n].value
            assert row.value <= reached + 1e-9
            compared += 1
    assert compared == 2 * 2 * 2 * (3 + 4)
    plain = [row for row in results.rows if (row.defender, row.attacker) == ("none", "predicted")]
    assert {f"certified_radius:{name}" for name in PAPER} <= {row.metric for row in plain}
    at = {row.metric: row.value for row in plain if (row.k, row.n) == (1, 10)}
    assert at["certified_success:0"] >= at["certified_success:0.05"] >= at["certified_success:0.2"]
    assert at["certified_success:0.05"] > 0.01, "some photos are certified"


VOTES = "recipe: {use: smoothed, draws: 10, recipe: {use: standard, epochs: 1}}"


@pytest.mark.parametrize(
    ("second", "certified"),
    [
        ("{name: b, start: a, recipe: {use: adaptive, defender: noise}}", {"a", "b"}),
        ("{name: b, start: a, recipe: pretrained}", {"a", "b"}),
        ("{name: b, start: a, recipe: {use: jpeg, recipe: pretrained}}", {"a"}),
        ("{name: b, start: a, recipe: {use: best-of, recipes: [pretrained, {use: jpeg, recipe: pretrained}]}}", {"a"}),
        ("{name: b, recipe: {use: jpeg, recipe: {use: smoothed, draws: 10}}}", {"a"}),
        ("{name: b, start: c, recipe: {use: smoothed, draws: 10, recipe: pretrained}}", {"a", "b"}),
    ],
)
def test_only_votes_with_nothing_before_them_are_certified(second: str, certified: set[str]) -> None:
    text = HEAD.split("models:")[0] + (
        f"models:\n  - {{name: c}}\n  - {{name: a, {VOTES}}}\n  - {second}\ndefenders: [none, noise]\n"
        "attackers: [predicted, {use: likelihood, learns: clean}, ground-truth, random]\n"
    )
    cells = make_plan(parse_scenario(parse_yaml("s.yaml", text))).cells
    assert {cell.model for cell in cells if "certify" in cell.steps} == certified
    assert {cell.attacker for cell in cells if "certify" in cell.steps} == {"predicted"}
    without = make_plan(parse_scenario(parse_yaml("s.yaml", text + "measure: {radii: []}\n"))).cells
    assert not any("certify" in cell.steps for cell in without)
