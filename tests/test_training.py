"""The training loop and the stages around it, on photos that a small network learns in seconds."""

from __future__ import annotations

import dataclasses
from typing import Any

import coloured
import numpy as np
import pytest
import torch
from coloured import TOY, cohort, data, labels, photos, task
from torch import nn

from linkbench.api.data import TEST, VALIDATION, Artefact, Cohort
from linkbench.api.progress import listening
from linkbench.api.training_data import Photos
from linkbench.errors import InputError, WeightsError
from linkbench.models.augment import augment
from linkbench.models.losses import Losses
from linkbench.models.networks import VGG16
from linkbench.models.predictor import WEIGHTS, load_predictor
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.models.training import Schedule, examine, fit, suited_rate
from linkbench.stages.train import predict, train

NET = {"use": "small-cnn", "width": 4, "depth": 3}
QUICK = Schedule(epochs=6, learning_rate=0.01, patience=4)


def network(seed: int = 0, **parameters: Any) -> nn.Module:
    with seeded("cpu", seed):
        return SmallCNN(**{"width": 4, "depth": 3, **parameters}).build(TOY, 32)


def balanced(net: nn.Module, examples: Any) -> list[float]:
    scores = examine(net, examples, Losses(TOY, examples.labels, 1.0, "cpu"), "cpu")
    return [score.balanced or 0.0 for score in scores]


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_learns_what_can_be_seen(shared: bool) -> None:
    room = dataclasses.replace(data(96), seed=1)
    net = network(shared=shared)
    heard: list[tuple[int, int]] = []
    plan = QUICK._replace(epochs=10, augment=0.0)
    with listening(lambda done, total, at: heard.append((done, total))):
        report = fit(net, room, plan)
    assert min(balanced(net, room.validation)) > 0.9
    assert heard[0] == (1, 60)
    assert heard[-1][0] <= 60
    last = report.history[-1]
    assert last["loss"] < report.history[0]["loss"] / 2
    assert set(last["validation"]["side"]) == {"loss", "accuracy", "balanced"}
    assert set(report.best) == set(TOY)


def test_same_seed_same_bytes_and_global_generators_untouched() -> None:
    nets = [network() for _ in range(3)]
    before = torch.get_rng_state()
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        fit(net, dataclasses.replace(data(32, 8), seed=seed), QUICK._replace(epochs=2))
        torch.rand(1)
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])
    torch.set_rng_state(before)
    fit(network(), data(32, 8), QUICK._replace(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_weights_come_back() -> None:
    room = data(64)
    net = network()
    report = fit(net, room, Schedule(epochs=12, learning_rate=0.05, patience=2, schedule="constant", augment=0.0))
    losses = Losses(TOY, room.training.labels, 1.0, "cpu")
    now = [score.loss for score in examine(net, room.validation, losses, "cpu")]
    for phenotype, loss in zip(TOY, now, strict=True):
        curve = [row["validation"][phenotype]["loss"] for row in report.history]
        # curves of a network that has stopped repeat what its last weights gave
        assert report.best[phenotype] == int(np.argmin(curve))
        assert loss == pytest.approx(min(curve), abs=1e-5)


def test_without_patience_the_last_weights_stay() -> None:
    report = fit(network(), data(32, 8), QUICK._replace(epochs=2, patience=None))
    assert report.best == {"side": 1, "tint": 1}


def test_without_validation_labels_the_last_weights_stay() -> None:
    room = data(32, 8)
    room.validation.labels[:, 0] = -1
    report = fit(network(), room, QUICK._replace(epochs=3))
    assert report.best["side"] == 2
    assert report.history[0]["validation"]["side"] == {"loss": None, "accuracy": None, "balanced": None}
    empty = dataclasses.replace(room.validation, labels=room.validation.labels[:0])
    assert fit(network(), dataclasses.replace(room, validation=empty), QUICK._replace(epochs=1)).best["tint"] == 0


@pytest.mark.slow
def test_missing_labels_teach_nothing() -> None:
    """Wrong photos with unknown labels change nothing but batch statistics; a wrong label would."""
    losses = Losses(TOY, np.array([[0, 0], [1, -1], [0, 2], [-1, 1]]), 1.0, "cpu")
    logits = torch.randn(4, 2, requires_grad=True)
    truth = torch.tensor([0, 1, 0, -1])
    losses.mean(logits, truth, 0).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[3], torch.zeros(2))
    assert (logits.grad[:3] != 0).all()
    nothing = losses.mean(logits, torch.full((4,), -1), 0)
    assert nothing.item() == 0.0
    room = data(96)
    room.training.labels[::2, 0] = -1
    net = network()
    fit(net, room, QUICK._replace(epochs=10, augment=0.0))
    assert min(balanced(net, room.validation)) > 0.8


def test_weights_of_classes() -> None:
    column = np.array([0] * 8 + [1] * 2 + [-1] * 3)
    for balance, ratio in ((0.0, 1.0), (0.5, 2.0), (1.0, 4.0)):
        weights = Losses(TOY, np.stack([column, column], 1), balance, "cpu").weights
        assert float(weights[0][1] / weights[0][0]) == pytest.approx(ratio)
        assert float(weights[0] @ torch.tensor([8.0, 2.0])) == pytest.approx(10.0)
        assert float(weights[1][2]) == 0.0  # never seen


@pytest.mark.slow
def test_balancing_finds_the_rare() -> None:
    room = data(120, 60, rare=0.08, contrast=0.25, noise=0.1)
    found = {}
    for balance in (0.0, 1.0):
        net = network()
        fit(net, room, Schedule(epochs=6, learning_rate=0.003, balance=balance, augment=0.0))
        found[balance] = balanced(net, room.validation)[0]
    assert found[1.0] > found[0.0] + 0.1


def test_augmentation_is_mild_and_off_at_zero() -> None:
    batch = torch.from_numpy(photos(labels(8))).float() / 255
    assert augment(batch, 0.0, torch.Generator()) is batch
    out = [augment(batch, 1.0, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*out)
    assert out[0].shape == batch.shape
    assert float(out[0].min()) >= 0
    assert float(out[0].max()) <= 1
    assert 0 < float((out[0].mean((2, 3)) - batch.mean((2, 3))).abs().max()) < 0.15


def test_photos_replace_some_and_read_any_kind() -> None:
    array = photos(labels(6))
    poison = np.full((2, 3, 32, 32), 0.25, np.float32)
    view = Photos(array, np.array([5, 1, 0]), (np.array([1, 4]), poison))
    out = view.batch(np.array([0, 1, 2]))
    assert torch.equal(out[0], torch.from_numpy(array[5]).float() / 255)
    assert (out[1] == 0.25).all()
    assert len(view) == 3


def test_rate_that_suits_a_network() -> None:
    assert suited_rate(network()) == 0.002
    assert suited_rate(nn.Sequential(nn.Linear(1, 1), VGG16(2, 1, 4, 0.5))) == 1e-4
    slow, given = network(), network()
    for net, rate in ((slow, None), (given, 0.002)):
        fit(net, data(32, 8), Schedule(epochs=1, learning_rate=rate))
    assert same(slow, given)


def test_divergence_is_said() -> None:
    room = data(32, 8)
    bad = Photos(np.full((32, 3, 32, 32), np.nan, np.float32))
    room = dataclasses.replace(room, training=dataclasses.replace(room.training, photos=bad))
    with pytest.raises(InputError, match=r"diverged in epoch 1.*learning_rate"):
        fit(network(), room, QUICK)


@pytest.fixture(scope="module")
def trained() -> tuple[Artefact, Artefact, Artefact]:
    people, genomes = cohort()
    return train(task(NET, {"use": "standard", "epochs": 8}, cohort=people, genomes=genomes)), people, genomes


def test_stage_gives_weights_that_predict(trained: tuple[Artefact, ...]) -> None:
    artefact, people, _ = trained
    out = predict(task(NET, settings={"split": VALIDATION}, train=artefact, cohort=people))
    everybody = Cohort.of(people)
    photo, table = out.array("photo"), out.array("probabilities")
    np.testing.assert_array_equal(photo, np.flatnonzero(everybody.split == VALIDATION))
    right = table[:, TOY.slices["tint"]].argmax(1) == everybody.labels[photo, 1]
    assert right.mean() > 0.8
    test = np.flatnonzero(everybody.split == TEST)
    published = Artefact({"photo": test, "photos": people.array("photos")[test].astype(np.float32) / 255}, {})
    shown = predict(task(NET, train=artefact, published=published))
    np.testing.assert_array_equal(shown.array("photo"), test)
    predictor = load_predictor(artefact)
    assert not predictor.training
    assert not any(parameter.requires_grad for parameter in predictor.parameters())
    assert artefact.meta["report"]["best"].keys() == set(TOY)


def test_stage_repeats_to_the_byte_and_a_twin_differs(trained: tuple[Artefact, ...]) -> None:
    _, people, genomes = trained
    recipe = {"use": "standard", "epochs": 1}
    runs = [
        train(task(NET, recipe, settings=settings, cohort=people, genomes=genomes))
        for settings in ({}, {}, {"other_seed": True})
    ]
    arrays = [{name: np.asarray(run.array(name)).tobytes() for name in run.arrays} for run in runs]
    assert arrays[0] == arrays[1]
    assert arrays[0] != arrays[2]
    assert runs[0].meta == runs[1].meta


def test_stage_starts_from_another(trained: tuple[Artefact, ...]) -> None:
    start, people, genomes = trained
    recipe = {"use": "standard", "epochs": 1, "learning_rate": 1e-9}
    gone_on = train(task(NET, recipe, cohort=people, genomes=genomes, start=start))
    name = f"{WEIGHTS}networks.0.layers.1.0.weight"
    np.testing.assert_allclose(gone_on.array(name), start.array(name), atol=1e-6)
    with pytest.raises(WeightsError, match=r"networks\.0.*have shape"):
        train(task({**NET, "width": 5}, recipe, cohort=people, genomes=genomes, start=start))


def test_stage_takes_poison(trained: tuple[Artefact, ...]) -> None:
    _, people, genomes = trained
    everybody = Cohort.of(people)
    rows = np.flatnonzero(everybody.split == 0)
    gray = Artefact({"photo": rows, "photos": np.full((len(rows), 3, 32, 32), 128, np.uint8)}, {})
    poisoned = train(task(NET, {"use": "standard", "epochs": 3}, cohort=people, genomes=genomes, poisoned=gray))
    scores = poisoned.meta["report"]["history"][-1]["validation"]
    assert max(scores[phenotype]["balanced"] for phenotype in TOY) < 0.7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda people: {"labels": np.where([True, False], -1, people.labels)}, "none.*a label for side"),
        (lambda people: {"labels": np.where([False, True], 2, people.labels)}, "has tint 'blue'"),
        (lambda people: {"photos": photos(people.labels, size=16)}, "at least 32 px"),
        (lambda people: {"photos": people.photos[:, :, :20]}, "must be square"),
        (lambda people: {"photos": None}, "no photos"),
    ],
)
def test_stage_errors(change: Any, reason: str) -> None:
    people, genomes = coloured.cohort()
    changed = dataclasses.replace(Cohort.of(people), **change(Cohort.of(people)))
    with pytest.raises(InputError, match=reason):
        train(task(NET, cohort=changed.artefact(), genomes=genomes))
