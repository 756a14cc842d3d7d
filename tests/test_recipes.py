"""Recipes: adversarial training makes robust, adaptive training sees through the defender."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from coloured import TOY, cohort, data, task
from torch import Tensor, nn

from linkbench.api.base import Defender
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.training_data import TrainingData
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.errors import InputError, PluginError
from linkbench.harness import defend as harness
from linkbench.harness.defend import defend, learn
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.models.training import Schedule, fit
from linkbench.recipes.adaptive import Adaptive
from linkbench.recipes.adversarial import Adversarial
from linkbench.recipes.standard import Standard
from linkbench.registry.announced import Registration
from linkbench.registry.registry import registry
from linkbench.stages.train import train

EPSILON = 0.1
QUICK = {"epochs": 6, "learning_rate": 0.01}


class Push(Defender):
    """One step up the loss of the true variants; notes what it was told."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "genome", "reference", "labels"})
    told: ClassVar[list[tuple[Any, Knowledge]]] = []
    epsilon: float = 0.5
    random_start: bool = False
    phenotype: str = "side"

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        assert isinstance(knowledge.predictor, nn.Module)
        assert not knowledge.predictor.training
        assert not any(parameter.requires_grad for parameter in knowledge.predictor.parameters())
        self.told.append((self, knowledge))
        assert knowledge.labels is not None
        point = photos.clone().requires_grad_(True)
        log_p = knowledge.predictor(point)
        right = [log_p[:, span].gather(1, knowledge.labels[:, [column]]).sum()
                 for column, span in enumerate(TOY.slices.values())]  # fmt: skip
        (gradient,) = torch.autograd.grad(-sum(right), point)  # type: ignore[arg-type]
        return photos + 2 * self.epsilon * gradient.sign()  # beyond the budget: the harness takes it back


class Invert(Defender):
    """A negative of the photo: anybody who knows the tool reads it as well as the photo."""

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        return 1 - photos


@pytest.fixture(autouse=True)
def _toy_defenders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cls in (("push", "Push"), ("invert", "Invert")):
        entry = Registration("defender", name, f"{__name__}:{cls}", "", "linkbench", "0")
        monkeypatch.setitem(registry().plugins["defender"], name, entry)
    Push.told.clear()


def network(seed: int = 0) -> nn.Module:
    with seeded("cpu", seed):
        return SmallCNN(width=4, depth=3, dropout=0.0).build(TOY, 32)


def accuracy(net: nn.Module, room: TrainingData, defender: Defender | None = None) -> float:
    """Mean over the phenotypes, on the validation photos, attacked or as they are."""
    index = np.arange(len(room.validation))
    photos = room.validation.photos.batch(index)
    if defender is not None:
        photos = defend(room, defender, photos, index, net, "test", examples=room.validation)
    net.eval()
    with torch.no_grad():
        logits = net(photos)
    truth = torch.from_numpy(room.validation.labels)
    hits = [(logits[:, span].argmax(1) == truth[:, column]).float().mean()
            for column, span in enumerate(TOY.slices.values())]  # fmt: skip
    return float(torch.stack(hits).mean())


@pytest.mark.slow
def test_adversarial_training_makes_robust() -> None:
    room = data(96, 48, contrast=0.25)
    plain = network()
    Standard(**QUICK, augment=0.0).train(plain, room)
    robust = network()
    robust.load_state_dict(plain.state_dict())
    recipe = Adversarial(
        defender={"use": "joint-pgd", "steps": 3}, epsilon=EPSILON, passes=4, copies=2, learning_rate=0.005, augment=0.0
    )
    report = recipe.train(robust, dataclasses.replace(room, started=True))
    assert [row["phase"] for row in report.history] == ["adversarial"] * 4
    attack = JointPGD(epsilon=EPSILON, steps=5)
    assert accuracy(plain, room) > 0.9
    assert accuracy(robust, room) > 0.75
    assert accuracy(robust, room, attack) > accuracy(plain, room, attack) + 0.3


def test_adversarial_rules_over_the_defender() -> None:
    room = dataclasses.replace(data(20, 4), started=True)
    recipe = Adversarial(defender={"use": "push"}, epsilon=0.03, passes=2, copies=3, mix=0.25, batch=10)
    seen: list[Tensor] = []
    original = harness.defend

    def watched(data: TrainingData, defender: Defender, photos: Tensor, *rest: Any, **named: Any) -> Tensor:
        out = original(data, defender, photos, *rest, **named)
        seen.append((out - photos).abs().amax())
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness, "defend", watched)
        recipe.train(network(), room)
    assert len(Push.told) == 12
    plugin, knowledge = Push.told[0]
    assert plugin.epsilon == 0.03
    assert plugin.random_start
    assert len(knowledge.keys) == 8  # a quarter of ten stays clean, rounded to even
    keys = [key for _, told in Push.told[:6] for key in told.keys]
    assert len(set(keys)) == 48
    assert max(keys) >= 40, "copies have numbers of their own"
    assert len({told.seed for _, told in Push.told}) == 2, "each pass has random numbers of its own"
    assert knowledge.log_p is not None
    rows = [key % 20 for key in knowledge.keys]
    np.testing.assert_array_equal(knowledge.log_p.numpy(), room.training.log_p[rows])
    assert float(max(seen)) == pytest.approx(0.03, abs=1e-6)


def test_each_phenotype_is_attacked_by_itself() -> None:
    room = dataclasses.replace(data(20, 4), started=True)
    recipe = Adversarial(defender={"use": "push"}, passes=1, copies=1, each_phenotype=True, batch=20)
    recipe.train(network(), room)
    assert [plugin.phenotype for plugin, _ in Push.told] == ["side", "tint"]
    with pytest.raises(InputError, match="'joint-pgd' has none"):
        Adversarial(each_phenotype=True).train(network(), room)


@pytest.mark.slow
def test_an_untrained_network_is_trained_first() -> None:
    recipe = Adversarial(defender={"use": "push"}, passes=1, copies=1)
    report = recipe.train(network(), data(32, 8))
    assert [row["phase"] for row in report.history][-2:] == ["train", "adversarial"]


@pytest.mark.slow
def test_adaptive_training_reads_protected_photos() -> None:
    room = data(96, 48)
    plain, adapted = network(), network()
    Standard(**QUICK, augment=0.0).train(plain, room)
    report = Adaptive(**QUICK, augment=0.0, defender={"use": "invert"}).train(adapted, room)
    assert {row["phase"] for row in report.history} == {"adaptive"}, "this defender sees no predictor: no clean phase"
    assert accuracy(plain, room, Invert()) < 0.7
    assert accuracy(adapted, room, Invert()) > 0.9


def test_adaptive_protects_all_and_shows_the_defender_the_start() -> None:
    room = data(32, 8)
    net = network()
    recipe = Adaptive(epochs=1, defender={"use": "push", "epsilon": 0.2}, clean=0.5)
    recipe.train(net, dataclasses.replace(room, started=True))
    assert sorted(len(told.keys) for _, told in Push.told) == [8, 32]
    Push.told.clear()
    report = recipe.train(net, room)
    assert [row["phase"] for row in report.history] == ["train", "adaptive"]


def test_recipes_repeat_to_the_byte() -> None:
    recipe = {"use": "adversarial", "defender": "push", "passes": 1, "copies": 1}
    architecture = {"use": "small-cnn", "width": 4, "depth": 3}
    people, genomes = cohort()
    start = train(task(architecture, {"use": "standard", "epochs": 1}, cohort=people, genomes=genomes))
    one, two = (train(task(architecture, recipe, cohort=people, genomes=genomes, start=start)) for _ in range(2))
    assert all(np.array_equal(one.array(name), two.array(name)) for name in one.arrays)
    assert one.meta == two.meta


class Study(Defender):
    """Learns the mean of the training photos, and gives it to everybody."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})

    def learn(self, study_set: StudySet) -> Any:
        assert study_set.untrained is None
        assert study_set.labels is not None
        assert study_set.predictor is not None
        return study_set.pixels(np.arange(len(study_set))).mean(0), study_set.keys

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        mean, keys = knowledge.learned
        assert set(knowledge.keys) <= set(keys.tolist())
        return mean.expand_as(photos)


def test_defenders_may_learn_and_not_everybody_uses_them() -> None:
    room = data(20, 4)
    net, index = network(), np.arange(20)
    photos = room.training.photos.batch(index)
    learned = learn(room, Study(), net, "test")
    out = defend(room, Study(rate=0.5), photos, index, net, "test", learned=learned)
    same = (out == photos).flatten(1).all(1)
    assert int(same.sum()) == 10
    torch.testing.assert_close(out[~same], photos.mean(0).expand(10, -1, -1, -1))
    assert learn(room, Invert(), net, "test") is None


def test_a_defender_that_breaks_is_named() -> None:
    class Broken(Defender):
        def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
            return photos * torch.nan

    room = data(8, 4)
    with pytest.raises(PluginError, match="Broken in test training put out pixels that are NaN"):
        defend(room, Broken(), room.training.photos.batch(np.arange(8)), np.arange(8), network(), "test")


@pytest.mark.slow
def test_gradients_are_not_masked() -> None:
    """Larger budgets hurt more, and a small step up the gradient raises the loss: ordinary networks."""
    room = data(96, 48, contrast=0.25)
    net = network()
    fit(net, room, Schedule(epochs=6, learning_rate=0.01, patience=6, augment=0.0))
    accuracies = [accuracy(net, room, JointPGD(epsilon=e, steps=5)) for e in (0.02, 0.1, 0.3)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] < 0.2
