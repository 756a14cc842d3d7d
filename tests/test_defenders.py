"""Every built-in defender keeps the contract; what each does on top of that."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from standins import knowledge, predictor, random_photos, study_set
from torch import Tensor

from linkbench.api.base import Defender
from linkbench.api.schema import PAPER
from linkbench.defenders.blur import Blur
from linkbench.defenders.decoy_pgd import DecoyPGD
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.defenders.noise import Noise
from linkbench.defenders.none import Nothing
from linkbench.defenders.objectives import Combinations, rank_table
from linkbench.defenders.pixelate import Pixelate
from linkbench.defenders.single_pgd import SinglePGD

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT = 16
EVERY: dict[str, Defender] = {
    "none": Nothing(),
    "noise": Noise(epsilon=0.03),
    "noise sign": Noise(epsilon=0.03, noise="sign"),
    "joint-pgd paper": JointPGD(epsilon=0.02, steps=4),
    "joint-pgd expected": JointPGD(epsilon=0.02, steps=4, objective="expected"),
    "joint-pgd rank": JointPGD(epsilon=0.02, steps=4, objective="rank"),
    "joint-pgd adam": JointPGD(epsilon=0.02, steps=4, optimiser="adam"),
    "joint-pgd restarts": JointPGD(epsilon=0.02, steps=3, restarts=3, random_start=True),
    "joint-pgd target": JointPGD(epsilon=0.02, steps=4, target_rank=20, restarts=2),
    "joint-pgd through": JointPGD(epsilon=0.02, steps=4, through=True),
    "single-pgd": SinglePGD(phenotype="hair", epsilon=0.02, steps=4),
    "single-pgd adam": SinglePGD(phenotype="sex", epsilon=0.02, steps=4, optimiser="adam", random_start=True),
    "decoy-pgd": DecoyPGD(epsilon=0.02, steps=4),
    "decoy-pgd variants": DecoyPGD(epsilon=0.02, steps=4, objective="variants", keep=("sex",)),
    "decoy-pgd constant": DecoyPGD(epsilon=0.02, steps=4, objective="constant", tolerance=0.01),
    "decoy-pgd features": DecoyPGD(epsilon=0.02, steps=4, objective="features", tolerance=0.1),
    "decoy-pgd independent": DecoyPGD(epsilon=0.02, steps=4, objective="independent", tolerance=1e-3),
    "joint-pgd transfer": JointPGD(
        epsilon=0.02, steps=4, momentum=1, diversity=0.7, translation=5, scales=3, neighbours=2, restarts=2
    ),
    "single-pgd qualities": SinglePGD(phenotype="hair", epsilon=0.02, steps=3, qualities=(60, 95)),
    "decoy-pgd over": DecoyPGD(epsilon=0.02, steps=3, over=["png", {"use": "resize", "factor": 0.5}], tolerance=0.01),
    "blur": Blur(sigma=1.5),
    "pixelate": Pixelate(block=5),
}
NETWORK = predictor()
PHOTOS = random_photos(COUNT)
DECOYS = study_set(random_photos(24, seed=3), NETWORK, [100 + row // 2 for row in range(24)])
KNOWN = replace(
    knowledge(COUNT, NETWORK), identity=tuple(range(COUNT)), learned=DecoyPGD(objective="features").learn(DECOYS)
)


@functools.cache
def critics() -> Any:
    return DecoyPGD(epsilon=0.02, steps=2, objective="independent").learn(DECOYS)


def run(defender: Defender, batch: int = COUNT) -> Tensor:
    parts = torch.arange(COUNT).split(batch)
    silent = isinstance(defender, DecoyPGD) and defender.objective == "independent"
    known = replace(KNOWN, learned=critics()) if silent else KNOWN
    return torch.cat([defender.perturb(PHOTOS[part], known.rows(part)) for part in parts])


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_contract(name: str) -> None:
    defender = EVERY[name]
    before = PHOTOS.clone()
    weights = {key: value.clone() for key, value in NETWORK.state_dict().items()}
    out = run(defender)
    assert out.shape == PHOTOS.shape
    assert out.dtype == PHOTOS.dtype
    assert not out.requires_grad
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(PHOTOS, before), "the input was written to"
    assert not NETWORK.training
    assert all(torch.equal(value, weights[key]) for key, value in NETWORK.state_dict().items())
    assert all(parameter.grad is None for parameter in NETWORK.parameters())
    if name != "none":
        assert (out - PHOTOS).abs().max() > 1e-3
    if hasattr(defender, "epsilon"):
        assert (out - PHOTOS).abs().max() <= defender.epsilon + 1e-6
        still = run(defender.model_copy(update={"epsilon": 0.0}))
        assert torch.equal(still, PHOTOS), "a budget of nothing must change nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_same_seed_same_bytes_whatever_the_batch(name: str) -> None:
    whole, again, one_by_one = run(EVERY[name]), run(EVERY[name]), run(EVERY[name], batch=1)
    assert whole.numpy().tobytes() == again.numpy().tobytes()
    differ = (whole.mul(255).round() != one_by_one.mul(255).round()).float().mean()
    assert differ <= 0.001


def test_photos_work_in_float64_channels_last_and_without_any() -> None:
    double = predictor().double()
    told = knowledge(COUNT, double)
    for name in ("joint-pgd rank", "single-pgd", "noise", "blur", "pixelate"):
        assert EVERY[name].perturb(PHOTOS.double(), told).dtype == torch.float64
        assert EVERY[name].perturb(PHOTOS[:0].double(), told.rows(torch.arange(0))).shape == (0, 3, 24, 24)
    last = PHOTOS.contiguous(memory_format=torch.channels_last)
    out = EVERY["joint-pgd paper"].perturb(last, KNOWN)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_random_numbers_belong_to_photos_and_seeds() -> None:
    noise = EVERY["noise"]
    swapped = torch.tensor([1, 0])
    pair = noise.perturb(PHOTOS[:2], KNOWN.rows(torch.arange(2)))
    assert torch.equal(noise.perturb(PHOTOS[swapped], KNOWN.rows(swapped)), pair[swapped])
    assert not torch.equal(noise.perturb(PHOTOS, knowledge(COUNT, seed=8)), run(noise))
    change = Noise(epsilon=0.03, noise="sign").perturb(torch.full((2, 3, 8, 8), 0.5), knowledge(2)) - 0.5
    torch.testing.assert_close(change.abs(), torch.full_like(change, 0.03))


def true_ranks(photos: Tensor) -> Tensor:
    combinations = Combinations(PAPER, torch.device("cpu"))
    assert KNOWN.log_p is not None
    assert KNOWN.reference is not None
    ranks = rank_table(KNOWN.log_p, KNOWN.reference, combinations)
    return ranks.gather(1, combinations.predicted(NETWORK(photos))[:, None])[:, 0]


def test_aimed_changes_do_what_they_aim_at() -> None:
    clean = true_ranks(PHOTOS).mean()
    rank = {name: true_ranks(run(EVERY[f"joint-pgd {name}"])).mean() for name in ("paper", "expected", "rank")}
    noise = true_ranks(run(Noise(epsilon=0.02))).mean()
    assert min(rank.values()) > max(clean, noise)
    assert rank["rank"] >= max(rank.values()) - 0.5
    column = torch.arange(COUNT), PAPER.slices["hair"].start + KNOWN.labels[:, 1]  # type: ignore[index]
    assert (NETWORK(run(EVERY["single-pgd"]))[column] < NETWORK(PHOTOS)[column]).all()


def test_restarts_never_lose() -> None:
    column = PAPER.slices["hair"].start + KNOWN.labels[:, 1]  # type: ignore[index]
    losses = [
        -NETWORK(run(SinglePGD(phenotype="hair", epsilon=0.02, steps=3, restarts=tries)))[torch.arange(COUNT), column]
        for tries in (1, 4)
    ]
    assert (losses[1] >= losses[0] - 1e-6).all()
    assert (losses[1] > losses[0] + 1e-6).any()


def test_early_stop_leaves_finished_photos_alone() -> None:
    seen = []

    class Counting(torch.nn.Module):
        def forward(self, photos: Tensor) -> Tensor:
            seen.append(len(photos))
            out: Tensor = NETWORK(photos)
            return out

    ranks = true_ranks(PHOTOS)
    target = int(ranks.median())
    out = JointPGD(epsilon=0.05, steps=8, target_rank=target).perturb(PHOTOS, knowledge(COUNT, Counting()))
    safe = ranks > target
    assert safe.any()
    assert torch.equal(out[safe], PHOTOS[safe]), "a photo that is safe already must not be touched"
    assert seen[0] == COUNT
    assert seen[1] == COUNT - int(safe.sum()), "finished photos must leave the batch"
    assert all(before >= after for before, after in itertools.pairwise(seen))
    assert (true_ranks(out) > target).float().mean() > safe.float().mean()


def test_unknown_labels_fall_back_to_the_prediction() -> None:
    predicted = NETWORK(PHOTOS)[:, PAPER.slices["hair"]].argmax(dim=1)
    assert KNOWN.labels is not None
    unknown, told = KNOWN.labels.clone(), KNOWN.labels.clone()
    unknown[:, 1], told[:, 1] = -1, predicted
    a, b = (EVERY["single-pgd"].perturb(PHOTOS, replace(KNOWN, labels=labels)) for labels in (unknown, told))
    assert torch.equal(a, b)


def test_through_sees_the_channel() -> None:
    calls = []

    def channel(photos: Tensor) -> Tensor:
        calls.append(len(photos))
        return photos + (photos.detach().mul(255).round().div(255) - photos.detach())

    JointPGD(steps=3, through=True).perturb(PHOTOS, replace(KNOWN, channel=channel))
    assert len(calls) == 3
    calls.clear()
    JointPGD(steps=3).perturb(PHOTOS, replace(KNOWN, channel=channel))
    assert not calls


def test_no_gradient_is_no_change_and_no_crash() -> None:
    known = replace(KNOWN, channel=lambda photos: photos.detach().round())
    assert torch.equal(JointPGD(steps=3, through=True).perturb(PHOTOS, known), PHOTOS)


def test_a_linear_predictor_will_do() -> None:
    """Its gradient is a view of a constant, which no step may write to."""
    predictor = SinglePGD(phenotype="sex", steps=2, epsilon=0.1)
    known = replace(KNOWN, predictor=lambda photos: photos[:, 0, 0, : PAPER.width])
    change = (predictor.perturb(PHOTOS, known) - PHOTOS).abs()
    assert change[:, 0, 0, :2].max() > 0.05
    assert not change[:, 1:].any()


def test_blur_is_a_gaussian_and_pixelate_a_mean() -> None:
    point = torch.zeros(1, 3, 33, 33)
    point[:, :, 16, 16] = 1
    for sigma in (0.8, 2.0):
        out = Blur(sigma=sigma).perturb(point, knowledge(1))[0, 0].double().numpy()
        offset = np.arange(33) - 16
        assert out.sum() == pytest.approx(1, abs=1e-5)
        assert (out * offset[:, None] ** 2).sum() ** 0.5 == pytest.approx(sigma, rel=0.02)
    flat = torch.full((1, 3, 10, 10), 0.3)
    torch.testing.assert_close(Blur(sigma=3.0).perturb(flat, knowledge(1)), flat)
    ramp = torch.arange(10.0).div(10).expand(1, 3, 10, 10)
    out = Pixelate(block=4).perturb(ramp, knowledge(1))[0, 0, 0]
    torch.testing.assert_close(out, torch.tensor([0.15] * 4 + [0.55] * 4 + [0.85] * 2))


def test_photos_climb_in_pieces_without_noticing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(EVERY["joint-pgd restarts"])
    monkeypatch.setattr("linkbench.defenders.pgd.CACHED", 0)
    pieces = run(EVERY["joint-pgd restarts"])
    assert (whole.mul(255).round() != pieces.mul(255).round()).float().mean() <= 0.001
