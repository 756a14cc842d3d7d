"""Last layers fitted to features: the minimum against another method's, what stays as it is, what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from linkbench.api.data import MISSING, Array
from linkbench.api.schema import Schema
from linkbench.api.training_data import Examples, Photos, TrainingData
from linkbench.attackers import logistic as newton
from linkbench.errors import InputError
from linkbench.harness.filtered_training import train
from linkbench.models import logistic
from linkbench.models.networks import PerPhenotype
from linkbench.models.predictor import Predictor, predict
from linkbench.recipes.bit_depth import BitDepth
from linkbench.recipes.linear_probe import LinearProbe

SCHEMA = Schema({"sex": ("female", "male"), "eye": ("blue", "intermediate", "brown")})


class Means(nn.Module):
    """Features that are the mean colours of the photo's quarters, [n, 12]."""

    def __init__(self, classes: int, after: nn.Module | None = None) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 3, 1)
        self.head = nn.Linear(12, classes)
        self.after = after

    def forward(self, photos: Tensor) -> Tensor:
        logits = self.head(nn.functional.adaptive_avg_pool2d(self.before(photos), 2).flatten(1))
        return logits if self.after is None else self.after(logits)


class Times(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return 4 * logits


def lesson(count: int, seed: int, *, told: bool = True) -> Examples:
    """Photos whose first quarter is redder for the second sex; eye colours are drawn by lot."""
    random = np.random.default_rng(seed)
    labels = np.stack([random.integers(0, 2, count), random.integers(0, 3, count)], axis=1)
    photos = random.integers(0, 200, (count, 3, 8, 8), dtype=np.uint8)
    if told:
        photos[:, 0, :4, :4] += (40 * labels[:, 0]).astype(np.uint8)[:, None, None]
    return Examples(Photos(photos), labels, np.zeros((count, 5)), np.arange(count) // 2)


def data(training: Examples, **changes: Any) -> TrainingData:
    given: dict[str, Any] = {"reference": np.zeros((1, 5)), "device": "cpu", "seed": 3}
    return TrainingData(SCHEMA, training, lesson(40, 1), **given | changes)


def read(network: nn.Module, photos: Array) -> Array:
    return predict(Predictor(network, SCHEMA), photos)


def test_the_minimum_is_that_of_newtons_method() -> None:
    random = np.random.default_rng(0)
    rows, classes, weights = random.normal(size=(60, 5)), random.integers(0, 3, 60), random.uniform(0, 2, 60)
    other = newton.fit(rows, np.eye(3)[classes], weights[None], np.full((1, 5), 0.7))[0]
    found = logistic.fit(rows, classes, 3, 0.7, weights)
    np.testing.assert_allclose(found[:-1], other[:, 1:].T, atol=1e-6)
    np.testing.assert_allclose(found[-1] - found[-1].mean(), other[:, 0], atol=1e-6)
    again = logistic.fit(rows, classes, 3, 0.7, weights, start=found + 1)
    np.testing.assert_allclose(again[:-1], found[:-1], atol=1e-6)


def test_slopes_lie_among_the_directions_of_the_rows() -> None:
    """So a fit to few photos with many features is a small problem with the same answer."""
    random = np.random.default_rng(1)
    rows, classes = random.normal(size=(12, 40)), random.integers(0, 3, 12)
    axes = logistic.within(rows)
    assert axes.shape == (12, 40)
    small, whole = logistic.fit(rows @ axes.T, classes, 3, 0.5), logistic.fit(rows, classes, 3, 0.5)
    np.testing.assert_allclose(axes.T @ small[:-1], whole[:-1], atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_only_last_layers_change_and_they_learn(shared: bool) -> None:
    torch.manual_seed(0)
    network = Means(5) if shared else PerPhenotype(SCHEMA, Means)
    before = copy.deepcopy(network.state_dict())
    report = LinearProbe().train(network, data(lesson(200, 0)))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[-2] for name in changed} == {"head"}
    held = lesson(300, 2)
    probabilities = read(network, held.photos.array)
    assert ((probabilities[:, 1] > 0.5) == held.labels[:, 0]).mean() > 0.85
    assert abs(probabilities[:, 2:] - 1 / 3).max() < 0.15  # by lot: the penalty is chosen large
    (row,) = report.history
    assert row["validation"]["sex"]["balanced"] > 0.8
    assert report.best == {"sex": 0, "eye": 0}


def test_a_common_factor_behind_the_last_layer_is_no_matter() -> None:
    torch.manual_seed(0)
    plain, times = Means(5), Means(5, Times())
    times.load_state_dict(plain.state_dict())
    for network in (plain, times):
        LinearProbe().train(network, data(lesson(80, 0)))
    shown = lesson(20, 2).photos.array
    np.testing.assert_allclose(read(times, shown), read(plain, shown), atol=1e-5)


@pytest.mark.parametrize("network", [Means(5, nn.Tanh()), nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten())])
def test_other_endings_are_refused(network: nn.Module) -> None:
    with pytest.raises(InputError, match="last linear layer"):
        LinearProbe().train(network, data(lesson(40, 0)))


def test_unknown_labels_and_rare_variants() -> None:
    """Photos without a label teach nothing; a variant that is rare counts as much as the others, or as it is."""
    torch.manual_seed(0)
    known = lesson(120, 0, told=False)
    known.labels[:, 0] = np.arange(120) % 6 == 0
    twice = Examples(
        Photos(np.concatenate([known.photos.array, lesson(50, 9).photos.array])),
        np.concatenate([known.labels, np.full((50, 2), MISSING)]),
        np.zeros((170, 5)),
        np.arange(170) // 2,
    )
    first = Means(5)
    found = []
    for balance, examples in ((1.0, known), (1.0, twice), (0.0, known)):
        network = copy.deepcopy(first)
        LinearProbe(balance=balance).train(network, data(examples))
        found.append(read(network, lesson(60, 4).photos.array)[:, 1].mean())
    assert found[0] == pytest.approx(0.5, abs=0.06)
    assert found[1] == pytest.approx(found[0], abs=0.05)
    assert found[2] == pytest.approx(1 / 6, abs=0.05)


@pytest.mark.parametrize("shared", [True, False])
def test_a_phenotype_that_nobody_is_labelled_with_is_left_open(shared: bool) -> None:
    torch.manual_seed(0)
    unknown = lesson(80, 0)
    unknown.labels[:, 1] = MISSING
    network = Means(5) if shared else PerPhenotype(SCHEMA, Means)
    LinearProbe().train(network, data(unknown))
    held = lesson(300, 2)
    probabilities = read(network, held.photos.array)
    np.testing.assert_allclose(probabilities[:, 2:], 1 / 3, atol=1e-6)
    assert ((probabilities[:, 1] > 0.5) == held.labels[:, 0]).mean() > 0.85


def test_behind_a_filter_it_learns_from_what_the_filter_shows() -> None:
    torch.manual_seed(0)
    network = Means(5)
    training = lesson(120, 0)
    report = train(BitDepth(bits=1, recipe="linear-probe"), network, data(training))
    (front,) = report.filters
    coarse = (training.photos.array > 127).astype(np.uint8) * 255
    alone = copy.deepcopy(network)
    LinearProbe().train(alone, data(Examples(Photos(coarse), training.labels, training.log_p, training.identity)))
    shown = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(front(shown)), alone(front(shown)), rtol=1e-3, atol=1e-3)
