"""single-pgd against other people's projected gradient descent: the same network, settings and photos, in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from standins import Predictor, knowledge, predictor, random_photos
from torch import Tensor, nn

from linkbench.api.schema import PAPER
from linkbench.defenders.single_pgd import SinglePGD

COUNT, EPSILON, STEP, STEPS = 16, 8 / 255, 2 / 255, 10
PHOTOS = random_photos(COUNT).double()


class Logits(nn.Module):
    """The network of one phenotype of a predictor, as the other libraries want it."""

    def __init__(self, whole: Predictor, phenotype: str) -> None:
        super().__init__()
        self.network = whole.networks[PAPER.names.index(phenotype)]

    def forward(self, photos: Tensor) -> Tensor:
        out: Tensor = self.network(photos)
        return out


@pytest.fixture(params=["hair", "sex"])
def ours(request: pytest.FixtureRequest) -> tuple[Logits, Tensor, Tensor]:
    """The network, the labels and what single-pgd makes of the photos."""
    network = predictor(seed=3).double()
    told = knowledge(COUNT, network)
    assert told.labels is not None
    defender = SinglePGD(phenotype=request.param, epsilon=EPSILON, step_size=STEP, steps=STEPS)
    out = defender.perturb(PHOTOS, told)
    assert (out - PHOTOS).abs().mean() > EPSILON / 4, "an attack that does nothing would agree with anything"
    return Logits(network, request.param).eval(), told.labels[:, PAPER.names.index(request.param)], out


def test_torchattacks(ours: tuple[Logits, Tensor, Tensor]) -> None:
    import torchattacks

    network, labels, out = ours
    theirs = torchattacks.PGD(network, eps=EPSILON, alpha=STEP, steps=STEPS, random_start=False)(PHOTOS, labels)
    assert theirs.dtype == torch.float64
    assert (theirs - out).abs().max() <= 1e-5


@pytest.mark.slow
def test_art(ours: tuple[Logits, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # it writes a settings file at import
    from art.attacks.evasion.projected_gradient_descent import projected_gradient_descent_pytorch as art_pgd
    from art.estimators.classification import PyTorchClassifier

    network, labels, out = ours
    monkeypatch.setattr(art_pgd, "ART_NUMPY_DTYPE", np.float64)  # it rounds photos to float32 otherwise
    classifier = PyTorchClassifier(
        network, nn.CrossEntropyLoss(), PHOTOS.shape[1:], network(PHOTOS[:1]).shape[1], clip_values=(0.0, 1.0),
        device_type="cpu",
    )  # fmt: skip
    attack = art_pgd.ProjectedGradientDescentPyTorch(
        classifier, eps=EPSILON, eps_step=STEP, max_iter=STEPS, batch_size=COUNT, verbose=False
    )
    theirs = torch.from_numpy(attack.generate(PHOTOS.numpy(), labels.numpy()))
    assert theirs.dtype == torch.float64
    assert (theirs - out).abs().max() <= 1e-5


def test_the_start_is_uniform_in_the_ball_and_its_own() -> None:
    """Random starts cannot agree number by number: they are ours by photo, theirs by batch."""
    told = replace(knowledge(COUNT, predictor().double()), seed=5)
    defender = SinglePGD(phenotype="sex", epsilon=EPSILON, step_size=0.0, steps=1, random_start=True)
    change = (defender.perturb(torch.full_like(PHOTOS, 0.5), told) - 0.5) / EPSILON
    assert change.abs().max() <= 1 + 1e-6
    assert change.mean().abs() < 0.02
    assert change.var() == pytest.approx(1 / 3, rel=0.02)
