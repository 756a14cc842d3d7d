"""Poisons that are computed with a network: error-minimising noise, and photos that look like permuted labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from standins import Net, random_photos
from torch import Tensor, nn

from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import Schema
from linkbench.defenders.bait import Bait
from linkbench.defenders.error_minimising import following, knowing
from linkbench.defenders.noise import Noise
from linkbench.defenders.pil import PIL
from linkbench.defenders.targeted_poison import TargetedPoison
from linkbench.defenders.unlearnable import Unlearnable
from linkbench.errors import InputError, PluginError
from linkbench.models.linear import linear_model

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEMA = Schema({"shade": ("a", "b"), "stripe": ("x", "y", "z")})
COUNT, SIZE = 144, 24


class Twins(nn.Module):
    """One small network per phenotype: logits [n, V]."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleList(Net(len(SCHEMA[name])) for name in SCHEMA)

    def forward(self, photos: Tensor) -> Tensor:
        return torch.cat([network(photos) for network in self.networks], dim=1)


class Judge(nn.Module):
    """Logits to log-probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, photos: Tensor) -> Tensor:
        logits = self.network(photos)
        return torch.cat([logits[:, span].log_softmax(1) for span in SCHEMA.slices.values()], dim=1)


def people(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Photos with a faint shade and faint stripes for their variants, each easy to learn if nothing is easier."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.stack([torch.randint(len(SCHEMA[name]), (count,), generator=generator) for name in SCHEMA], dim=1)
    photos = 0.3 + 0.4 * random_photos(count, SIZE, seed)
    shades = torch.tensor([-0.04, 0.04])[labels[:, 0]].view(-1, 1, 1, 1) * torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1)
    wave = torch.sin(torch.arange(SIZE) * 2 * torch.pi / 6)
    stripes = torch.stack([torch.zeros(SIZE, SIZE), wave.expand(SIZE, SIZE), wave.expand(SIZE, SIZE).T])
    return (photos + shades + 0.06 * stripes[labels[:, 1]][:, None]).clamp(0, 1), labels


PHOTOS, LABELS = people(COUNT, 1)
CLEAN, TRUTH = people(200, 2)


def study_set(photos: Tensor = PHOTOS, labels: Tensor | None = LABELS, start: int = 0) -> StudySet:
    count = len(photos)
    return StudySet(
        schema=SCHEMA,
        pixels=lambda index: photos[torch.from_numpy(index)],
        keys=np.arange(start, start + count),
        labels=None if labels is None else labels.numpy(),
        identity=np.arange(count),
        size=SIZE,
        device="cpu",
        seed=3,
        untrained=Twins,
    )


def told(learned: object, labels: Tensor = LABELS, start: int = 0, network: nn.Module | None = None) -> Knowledge:
    keys = tuple(range(start, start + len(labels)))
    return Knowledge(schema=SCHEMA, keys=keys, seed=3, predictor=network, labels=labels, learned=learned)


def trained(photos: Tensor, labels: Tensor = LABELS, epochs: int = 8, seed: int = 0) -> Judge:
    """Somebody else's network, trained on these photos."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = Judge(Twins()).train()
        optimiser = torch.optim.Adam(judge.parameters(), lr=0.01)
        for _ in range(epochs):
            for part in torch.randperm(len(photos)).split(24):
                log_p = judge(photos[part])
                loss = sum(
                    nn.functional.nll_loss(log_p[:, span], labels[part, at])
                    for at, span in enumerate(SCHEMA.slices.values())
                )
                optimiser.zero_grad()
                loss.backward()  # type: ignore[union-attr]
                optimiser.step()
    return judge.eval().requires_grad_(False)


def right(judge: Judge, photos: Tensor = CLEAN, labels: Tensor = TRUTH) -> list[float]:
    """The accuracy for each phenotype."""
    log_p = judge(photos)
    return [
        float((log_p[:, span].argmax(1) == labels[:, at]).float().mean())
        for at, span in enumerate(SCHEMA.slices.values())
    ]


def quick(**parameters: object) -> Unlearnable:
    return Unlearnable.model_validate(
        {"augment": 0.0, "train_steps": 4, "epsilon": 0.1, "step_size": 0.02, **parameters}
    )


@pytest.fixture(scope="module")
def surrogate() -> Judge:
    return trained(PHOTOS)


@pytest.fixture(scope="module")
def noise() -> Any:
    return quick(phenotype="shade").learn(study_set())


@pytest.mark.slow
def test_a_network_trained_on_the_poison_fails_on_clean_photos(surrogate: Judge) -> None:
    """On stripes: a shade is so easy that a network learns it beside any shortcut."""
    defender, stripe = quick(phenotype="stripe"), 1
    control = Noise(epsilon=0.1, noise="sign").perturb(PHOTOS, told(None))
    poison = defender.perturb(PHOTOS, told(defender.learn(study_set())))
    assert right(surrogate)[stripe] > 0.6
    assert right(trained(control))[stripe] > 0.6, "random noise of the same size does nothing"
    judge = trained(poison)
    assert right(judge, poison, LABELS)[stripe] > 0.95, "the poison must be easy to learn"
    assert right(judge)[stripe] < 0.45, "chance is 1/3"
    assert float((poison - PHOTOS).abs().max()) <= 0.1 + 1e-6


@pytest.mark.slow
def test_class_noise_is_one_per_class_with_both_signs_and_repeatable(noise: Any) -> None:
    defender = quick(phenotype="shade")
    assert noise.by_class.shape == (2, 3, SIZE, SIZE)
    assert 0.2 < float((noise.by_class > 0.01).float().mean()) < 0.8
    assert 0.2 < float((noise.by_class < -0.01).float().mean()) < 0.8
    gray = torch.full_like(PHOTOS, 0.5)
    change = defender.perturb(gray, told(noise, start=1000)) - gray  # by label, whoever is in the photo
    for variant in (0, 1):
        same = change[LABELS[:, 0] == variant]
        assert torch.equal(same, same[:1].expand_as(same))
    assert not torch.equal(change[LABELS[:, 0] == 0][0], change[LABELS[:, 0] == 1][0])
    again = defender.learn(study_set())
    assert torch.equal(again.by_class, noise.by_class)
    assert again.error == noise.error
    whole = defender.perturb(PHOTOS, told(noise))
    single = defender.perturb(PHOTOS[5:6], told(noise).rows(torch.tensor([5])))
    assert torch.equal(single[0], whole[5])


def test_sample_noise_lowers_the_loss_of_its_own_photo(surrogate: Judge) -> None:
    defender = quick(per="sample", rounds=1, steps=5, phenotype="shade")
    few, labels = PHOTOS[:48], LABELS[:48]
    learned = defender.learn(study_set(few, labels))
    assert learned.by_sample.shape == (48, 3, SIZE, SIZE)
    assert 0.2 < float((learned.by_sample > 0).float().mean()) < 0.8
    assert len(torch.unique(learned.by_sample.float().flatten(1), dim=0)) == 48
    poison = defender.perturb(few, told(learned, labels))
    judge = trained(poison, labels, epochs=3)
    loss = [float(-judge(photos)[torch.arange(48), labels[:, 0]].mean()) for photos in (poison, few)]
    assert loss[0] < loss[1]
    stranger = defender.perturb(few[:1], told(learned, labels[:1], start=500))
    mean = learned.by_sample[labels[:, 0] == labels[0, 0]].float().mean(dim=0)
    torch.testing.assert_close(stranger[0], (few[0] + mean).clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_unknown_labels_get_no_noise_and_all_phenotypes_together_work(noise: Any) -> None:
    unknown = LABELS.clone()
    unknown[:3, 0] = -1
    out = quick(phenotype="shade").perturb(PHOTOS, told(noise, unknown, start=500))
    assert torch.equal(out[:3], PHOTOS[:3])
    assert not torch.equal(out[3], PHOTOS[3])
    every = quick(rounds=1)
    learned = every.learn(study_set(labels=unknown))
    assert len(learned.classes) == 6 + len({(-1, int(stripe)) for stripe in LABELS[:3, 1]})
    changed = every.perturb(PHOTOS, told(learned, unknown)) != PHOTOS
    assert bool(changed.flatten(1).any(dim=1).all()), "a photo of which something is known is changed"


def test_no_budget_no_change(surrogate: Judge) -> None:
    for defender in (
        quick(epsilon=0.0),
        quick(epsilon=0.0, per="sample"),
        TargetedPoison(epsilon=0.0),
        PIL(epsilon=0.0),
    ):
        known = told(defender.learn(study_set()), network=surrogate)
        assert torch.equal(defender.perturb(PHOTOS, known), PHOTOS)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(PluginError, match="'shade', it was given 1"):
        quick(phenotype="shade").learn(study_set(labels=torch.zeros_like(LABELS)))
    with pytest.raises(PluginError, match="has studied"):
        quick().perturb(PHOTOS, told(None))


def test_targeted_poison_looks_like_the_next_variant(surrogate: Judge) -> None:
    permuted = (LABELS + 1) % torch.tensor([2, 3])
    one = TargetedPoison(phenotype="stripe", epsilon=0.1, steps=8)
    every = TargetedPoison(epsilon=0.1, steps=8)
    assert right(surrogate, one.perturb(PHOTOS, told(None, network=surrogate)), permuted)[1] > 0.9
    out = every.perturb(PHOTOS, told(None, network=surrogate))
    assert min(right(surrogate, out, permuted)) > 0.85
    assert float((out - PHOTOS).abs().max()) <= 0.1 + 1e-6
    known = told(None, network=surrogate)
    single = torch.cat([every.perturb(PHOTOS[row : row + 1], known.rows(torch.tensor([row]))) for row in range(4)])
    assert float((single.mul(255).round() != out[:4].mul(255).round()).float().mean()) <= 0.001
    unknown = every.perturb(PHOTOS[:4], told(None, torch.full((4, 2), -1), network=surrogate))
    assert unknown.isfinite().all()


BAIT: dict[str, Any] = {"augment": 0.0, "train_steps": 4, "epsilon": 0.1, "step_size": 0.02, "phenotype": "stripe"}


@pytest.mark.slow
@pytest.mark.parametrize("per", ["class", "sample"])
def test_bait_makes_a_network_that_knows_the_photos_say_the_next_variant(surrogate: Judge, per: str) -> None:
    defender = Bait.model_validate({**BAIT, "per": per, "rounds": 6, "steps": 3})
    before = {name: weight.clone() for name, weight in surrogate.state_dict().items()}
    learned = defender.learn(replace(study_set(), predictor=surrogate))
    poison = defender.perturb(PHOTOS, told(learned))
    next_ones = following(LABELS, SCHEMA)
    assert right(surrogate, PHOTOS, LABELS)[1] > 0.6
    assert right(surrogate, poison, LABELS)[1] < 0.2
    assert right(surrogate, poison, next_ones)[1] > 0.7
    assert float((poison - PHOTOS).abs().max()) <= 0.1 + 1e-6
    assert all(torch.equal(surrogate.state_dict()[name], weight) for name, weight in before.items()), "a copy learned"
    assert not any(weight.requires_grad for weight in surrogate.parameters())
    assert all(weight.requires_grad for weight in knowing(surrogate).parameters())


def test_the_next_variant_comes_round_and_unknown_stays_unknown() -> None:
    labels = torch.tensor([[0, 2], [1, 1], [-1, 0]])
    assert following(labels, SCHEMA).tolist() == [[1, 0], [0, 2], [-1, 1]]


def linear(photos: Tensor, labels: Tensor, through_zero: bool = True) -> Tensor:
    return linear_model(
        lambda index: photos[torch.from_numpy(index)], labels.numpy(), SCHEMA,
        device="cpu", seed=1, epochs=60, through_zero=through_zero,
    ).float()  # fmt: skip


def test_without_a_bias_the_linear_model_is_odd() -> None:
    """What it is given is a multiple of the photos: gradients without a centre lie in their span."""
    weights = linear(PHOTOS[:20], LABELS[:20])
    span = PHOTOS[:20].flatten(1).double()
    left = torch.linalg.lstsq(span.T, weights.double().T).solution
    torch.testing.assert_close((span.T @ left).T, weights.double(), atol=1e-4, rtol=1e-3)
    scores = PHOTOS.flatten(1) @ weights.T
    found = (scores[:20, :2].argmax(1) == LABELS[:20, 0]).float().mean()
    assert found > 0.8
    assert not torch.allclose(weights, linear(PHOTOS[:20], LABELS[:20], through_zero=False), atol=1e-3)


def test_pil_tells_the_label_to_a_linear_model_and_hides_the_photo_from_it() -> None:
    defender = PIL(phenotype="stripe", epsilon=0.05)
    learned = defender.learn(study_set())
    poison = defender.perturb(PHOTOS, told(learned))
    weights, span = learned["weights"], SCHEMA.slices["stripe"]
    noise = (PHOTOS - poison).flatten(1)
    assert ((noise @ weights.T)[:, span].argmax(1) == LABELS[:, 1]).float().mean() > 0.95
    log_p = [((photos.flatten(1) @ weights.T)[:, span]).log_softmax(1) for photos in (PHOTOS, poison)]
    own = [each.gather(1, LABELS[:, 1:2]).mean() for each in log_p]
    assert own[1] < own[0], "the published photo says less of its label"
    assert float(noise.abs().max()) <= 0.05 + 1e-6
    assert right(trained(PHOTOS))[1] > right(trained(poison))[1] + 0.2
    single = defender.perturb(PHOTOS[5:6], told(learned).rows(torch.tensor([5])))
    torch.testing.assert_close(single[0], poison[5], atol=1e-6, rtol=0)


def test_pil_leaves_what_has_no_label_and_needs_two_classes() -> None:
    unknown = LABELS.clone()
    unknown[:3] = -1
    unknown[3, 0] = -1
    defender = PIL(epsilon=0.05, steps=2)
    out = defender.perturb(PHOTOS, told(defender.learn(study_set(labels=unknown)), unknown))
    assert torch.equal(out[:3], PHOTOS[:3])
    assert not torch.equal(out[3], PHOTOS[3])
    with pytest.raises(InputError, match="poison pil: all photos with a known label are of one class"):
        PIL(phenotype="shade").learn(study_set(labels=torch.zeros_like(LABELS)))
    with pytest.raises(PluginError, match="was given none"):
        defender.perturb(PHOTOS, told(None))
