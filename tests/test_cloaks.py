"""Cloaks: what they do to deep features, and what they leave of the photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from standins import Net, Predictor, random_photos
from torch import Tensor, nn

from linkbench.api.base import Defender
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import PAPER
from linkbench.channels.gaussian import convolved, gaussian
from linkbench.defenders.cloak import find_targets, joined
from linkbench.defenders.fawkes import Fawkes
from linkbench.defenders.lowkey import LowKey
from linkbench.errors import PluginError
from linkbench.metrics.image_quality import dssim
from linkbench.models.features import deep_features

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, SIZE = 8, 32
PHOTOS = random_photos(COUNT, SIZE)


class Parts(nn.Module):
    """Two networks without a common layer, known as `parts`, and one of them with features of its own choice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Net(2, smooth=True), Net(9, smooth=True)

    def forward(self, photos: Tensor) -> Tensor:
        return torch.cat([self.first(photos), self.second(photos)], dim=1)

    def parts(self) -> Iterator[Any]:
        from linkbench.models.networks import Part

        yield Part(self.first, (0,))
        yield Part(self.second, (1, 2, 3))


torch.manual_seed(0)
NETWORK = Parts().eval().requires_grad_(False)
FEATURES = deep_features(NETWORK)


def study_set(photos: Tensor = PHOTOS, network: Any = NETWORK, identity: Any = None) -> StudySet:
    who = np.arange(len(photos)) // 2 if identity is None else np.asarray(identity)
    return StudySet(
        schema=PAPER, pixels=lambda index: photos[torch.from_numpy(index)], keys=np.arange(len(photos)), labels=None,
        identity=who, size=SIZE, device="cpu", seed=5, predictor=network,
    )  # fmt: skip


def told(defender: Defender, network: Any = NETWORK, count: int = COUNT, start: int = 0) -> Knowledge:
    keys = tuple(range(start, start + count))
    return Knowledge(schema=PAPER, keys=keys, seed=5, predictor=network, learned=defender.learn(study_set()))


CLOAKS: dict[str, Defender] = {
    "fawkes low": Fawkes(mode="low", steps=12),
    "fawkes mid": Fawkes(steps=12),
    "fawkes by pixel": Fawkes(mode="high", steps=8, epsilon=0.01),
    "lowkey": LowKey(steps=8),
    "lowkey narrow": LowKey(steps=8, epsilon=0.01),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOAKS)
def test_contract(name: str) -> None:
    defender: Any = CLOAKS[name]
    known, before = told(defender), PHOTOS.clone()
    out = defender.perturb(PHOTOS, known)
    assert out.shape == PHOTOS.shape
    assert out.dtype == PHOTOS.dtype
    assert not out.requires_grad
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert torch.equal(PHOTOS, before), "the input was written to"
    assert 1e-3 < float((out - PHOTOS).abs().max()) <= defender.epsilon + 1e-6
    assert not any(module._forward_pre_hooks for module in NETWORK.modules()), "the network was left changed"
    assert torch.equal(defender.perturb(PHOTOS, told(defender)), out), "the same seed must give the same bytes"
    single = torch.cat([defender.perturb(PHOTOS[[row]], known.rows(torch.tensor([row]))) for row in range(COUNT)])
    assert float((single.mul(255).round() != out.mul(255).round()).float().mean()) <= 0.001
    assert torch.equal(defender.model_copy(update={"epsilon": 0.0}).perturb(PHOTOS, known), PHOTOS)
    assert defender.perturb(PHOTOS[:0], told(defender, count=0)).shape == (0, 3, SIZE, SIZE)


@pytest.mark.parametrize(("mode", "budget"), [("low", 0.004), ("high", 0.017)])
def test_fawkes_moves_features_to_its_target_within_its_perceptual_budget(mode: Any, budget: float) -> None:
    defender = Fawkes(mode=mode, steps=30)
    known = told(defender)
    out = defender.perturb(PHOTOS, known)
    used = dssim(PHOTOS, out)
    assert float(used.max()) <= budget + 1e-6
    assert float(used.mean()) > budget / 2, "the budget should be used"
    targets = known.learned
    goal = targets.centres[[targets.chosen[key] for key in known.keys]]
    before, after = ((joined(FEATURES, photos, targets.scales) - goal).norm(dim=1) for photos in (PHOTOS, out))
    assert bool((after < before).all())
    if mode == "high":
        assert float((after / before).mean()) < 0.8


def test_fawkes_has_one_target_per_person_and_the_most_distant_one() -> None:
    targets = find_targets(study_set(), 50)
    assert len(targets.centres) == COUNT // 2
    features = joined(FEATURES, PHOTOS, targets.scales)
    for person in range(COUNT // 2):
        mine = [2 * person, 2 * person + 1]
        (chosen,) = {targets.chosen[row] for row in mine}
        apart = torch.cdist(features[mine], targets.centres).amin(dim=0)
        assert float(apart[chosen]) == pytest.approx(float(apart.max()))
    few = find_targets(study_set(), 2)
    assert len(few.centres) == 2
    unknown = Fawkes(steps=2)
    assert unknown.perturb(PHOTOS, replace(told(unknown), keys=tuple(range(90, 90 + COUNT)))).isfinite().all()


def test_lowkey_moves_features_away_also_in_the_blurred_photo_and_in_each_network() -> None:
    defender, noise = LowKey(steps=12), LowKey(steps=1, step_size=0.0)
    clean = FEATURES(PHOTOS)
    pushed, shaken = (cloak.perturb(PHOTOS, told(cloak)) for cloak in (defender, noise))
    for view in (lambda photos: photos, lambda photos: convolved(photos, gaussian(3.0, 3))):
        for origin, far, near in zip(clean, FEATURES(view(pushed)), FEATURES(view(shaken)), strict=True):
            assert float((far - origin).norm(dim=1).mean()) > 1.1 * float((near - origin).norm(dim=1).mean())
    full = LowKey().perturb(PHOTOS[:1], told(defender, count=1))
    assert 0.05 < float((full - PHOTOS[:1]).abs().max()) <= 33 / 255 + 1e-6
    gentle = LowKey(steps=12, penalty=50.0).perturb(PHOTOS, told(defender))
    assert float(dssim(PHOTOS, gentle).mean()) < float(dssim(PHOTOS, pushed).mean())
    with pytest.raises(ValidationError, match="odd number"):
        LowKey(blur_width=6)


def test_features_are_what_the_networks_decide_by() -> None:
    both = deep_features(NETWORK)(PHOTOS)
    assert [tuple(part.shape) for part in both] == [(COUNT, 64), (COUNT, 64)]
    head: Any = NETWORK.first.body[-1]
    torch.testing.assert_close(4.0 * head(both[0]), NETWORK.first(PHOTOS))
    torch.testing.assert_close(deep_features(Predictor(PAPER).eval())(PHOTOS)[0].shape, torch.Size([COUNT, 64]))
    (plain,) = deep_features(lambda photos: photos.mean(dim=(2, 3)))(PHOTOS)
    torch.testing.assert_close(plain, PHOTOS.mean(dim=(2, 3)))

    class Own(nn.Module):
        def features(self, photos: Tensor) -> Tensor:
            return photos[:, :, ::16, ::16]

    assert deep_features(Own())(PHOTOS)[0].shape == (COUNT, 12)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(PluginError, match="has studied"):
        Fawkes().perturb(PHOTOS, Knowledge(schema=PAPER, keys=tuple(range(COUNT)), seed=1, predictor=NETWORK))
    with pytest.raises(PluginError, match="1 person"):
        Fawkes().learn(study_set(identity=[7] * COUNT))
    with pytest.raises(PluginError, match="at least two candidates"):
        Fawkes(candidates=1).learn(study_set())
