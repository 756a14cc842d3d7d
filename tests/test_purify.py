"""Purification: what the U-Net learns, that gradients and files go through it, and who is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from coloured import TOY, cohort, data, task
from standins import random_photos
from torch import nn

from linkbench.api.data import Artefact
from linkbench.api.training_data import TrainingData
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.errors import InputError
from linkbench.harness.defend import defend
from linkbench.harness.filtered_training import train as train_by
from linkbench.models.filters import Filter, Filtered
from linkbench.models.predictor import load_predictor, predict
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.models.unet import UNet, cleaned, tensors
from linkbench.recipes.purify import Purify
from linkbench.recipes.standard import Standard
from linkbench.stages.train import train

NOISE = {"use": "noise", "epsilon": 0.1, "noise": "sign"}
SMALL = {"use": "small-cnn", "width": 4, "depth": 3}
QUICK: dict[str, Any] = {"use": "standard", "epochs": 2, "learning_rate": 0.01}


def test_an_untrained_net_changes_nothing_and_any_size_goes_through() -> None:
    torch.manual_seed(0)
    network = UNet(4)
    for size in (32, 37, 50):
        photos = torch.rand(2, 3, size, size)
        torch.testing.assert_close(network(photos), photos)
    nn.init.normal_(network.last.weight)
    photos = torch.rand(3, 3, 33, 33)
    torch.testing.assert_close(cleaned(photos, tensors(network), 4), network(photos))
    alone = torch.cat([network(photos[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(alone, network(photos), msg="a photo's result depends on the photo alone")


def trained_network() -> tuple[nn.Module, TrainingData]:
    room = dataclasses.replace(data(96, 24, noise=0.0), started=True)
    with seeded("cpu", 0):
        network = SmallCNN(width=4, depth=3, dropout=0.0).build(TOY, 32)
    Standard(epochs=4, learning_rate=0.01).train(network, room)
    return network, room


@pytest.mark.slow
def test_it_takes_noise_and_attacks_away_and_leaves_clean_photos() -> None:
    network, room = trained_network()
    attack = JointPGD(epsilon=0.1, steps=5)
    tools = ["none", NOISE, {"use": "joint-pgd", "epsilon": 0.1, "steps": 5}]
    plugin = Purify(defenders=tools, width=4, steps=150, learning_rate=0.01, recipe="pretrained")
    view = Filter(plugin, plugin.learn(dataclasses.replace(room, network=network)))
    index = np.arange(len(room.validation))
    clean = room.validation.photos.batch(index)
    attacked = defend(room, attack, clean, index, network, "test", examples=room.validation)
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).sign()).clamp(0, 1)
    with torch.no_grad():
        for shown in (attacked, noisy):
            before, after = ((photos - clean).square().mean().sqrt().item() for photos in (shown, view(shown)))
            assert after < 0.75 * before
        assert (view(clean) - clean).square().mean().sqrt().item() < 0.05


def test_gradients_go_through_and_the_network_is_not_touched() -> None:
    network, room = trained_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plugin = Purify(defenders=["none", NOISE], width=3, steps=3, recipe="pretrained")
    report = train_by(plugin, network, room)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    (view,) = report.filters
    photos = random_photos(2, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(Filtered(view, network)(photos).square().sum(), photos)
    assert gradient.abs().sum() > 0


@pytest.mark.slow
def test_it_comes_back_from_its_file_the_same_each_time() -> None:
    people, genomes = cohort(48)
    recipe = {"use": "purify", "defenders": ["none", NOISE], "width": 3, "steps": 3, "recipe": QUICK}
    out, again = (train(task(SMALL, recipe, cohort=people, genomes=genomes)) for _ in range(2))
    shown = people.array("photos")
    judged = predict(load_predictor(out), shown)
    assert judged.tobytes() == predict(load_predictor(again), shown).tobytes()
    unfiltered = Artefact(out.arrays, {**out.meta, "filters": []})
    assert not np.array_equal(judged, predict(load_predictor(unfiltered), shown))


def test_a_tool_that_must_see_a_network_needs_a_trained_one() -> None:
    people, genomes = cohort(48)
    with pytest.raises(InputError, match="purify: the defender 'joint-pgd' must see a trained network .* a 'start'"):
        train(task(SMALL, {"use": "purify", "recipe": QUICK}, cohort=people, genomes=genomes))
