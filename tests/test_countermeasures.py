"""Countermeasures: filters with the right values and gradients, stored with the predictor, and what they help."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pytest
import torch
from coloured import TOY, cohort, data, labels, photos, task
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter
from standins import random_photos
from torch import Tensor, nn

from linkbench.api.countermeasure import Countermeasure
from linkbench.api.data import TRAIN, Array, Artefact
from linkbench.api.training_data import Examples, Photos, Seen, TrainingData
from linkbench.channels.jpeg import Jpeg
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.errors import PluginError, WeightsError
from linkbench.harness.defend import defend
from linkbench.harness.filtered_training import train as train_by
from linkbench.models.features import deep_features
from linkbench.models.filters import Filter, Filtered, bare, look_through, pack, unpack
from linkbench.models.predictor import Predictor, load_predictor, parts_of, predict
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.recipes.bit_depth import BitDepth
from linkbench.recipes.blur import BlurFilter
from linkbench.recipes.channel import ChannelFilter
from linkbench.recipes.grayscale import Grayscale
from linkbench.recipes.jpeg import JpegFilter
from linkbench.recipes.median import MedianFilter
from linkbench.recipes.orthogonal_projection import OrthogonalProjection
from linkbench.recipes.standard import Standard
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec
from linkbench.stages.train import train
from linkbench.store import tensorfile

SMALL = {"use": "small-cnn", "width": 4, "depth": 3}
QUICK: dict[str, Any] = {"use": "standard", "epochs": 2, "learning_rate": 0.01}
FIXED: list[Countermeasure] = [
    Grayscale(),
    JpegFilter(),
    JpegFilter(quality=60),
    BlurFilter(),
    BitDepth(),
    MedianFilter(),
]
NAMES = ["grayscale", "jpeg", "blur", "bit-depth", "median", "orthogonal-projection"]


def network(seed: int = 0) -> nn.Module:
    with seeded("cpu", seed):
        return SmallCNN(width=4, depth=3, dropout=0.0).build(TOY, 32)


def planted(count: int, seed: int, strength: float = 0.25) -> tuple[Array, Array, Array]:
    """Photos uint8, their labels, and a pattern of random signs that says which side: a linear shortcut."""
    truth = labels(count, seed)
    clean = photos(truth, seed, contrast=0.2) / 255
    pattern = np.random.default_rng(5).choice([-1.0, 1.0], (3, 32, 32))
    shown = clean + strength * np.where(truth[:, 0, None, None, None] == 1, pattern, -pattern)
    return (shown.clip(0, 1) * 255).round().astype(np.uint8), truth, pattern


def poisoned_room(count: int = 160) -> tuple[TrainingData, Array]:
    room = data(count, 48, contrast=0.2)
    shown, truth, pattern = planted(count, 3)
    examples = Examples(Photos(shown), truth, np.zeros((count, TOY.width)), np.arange(count))
    return dataclasses.replace(room, training=examples), pattern


def test_a_channel_as_a_filter_is_that_channel() -> None:
    filters = JpegFilter(quality=40), ChannelFilter(channels=[{"use": "jpeg", "quality": 40}])
    photos = random_photos(2)
    one, other = (filter_.see(photos, {}) for filter_ in filters)
    assert torch.equal(one, other)
    gradients = []
    for filter_ in filters:
        seen = photos.clone().requires_grad_()
        gradients += torch.autograd.grad(filter_.see(seen, {}).square().sum(), seen)
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum() > 0


def test_grayscale_is_luma() -> None:
    before = random_photos(4)
    after = Grayscale().see(before, {})
    luma = 0.299 * before[:, 0] + 0.587 * before[:, 1] + 0.114 * before[:, 2]
    for channel in range(3):
        torch.testing.assert_close(after[:, channel], luma)
    torch.testing.assert_close(Grayscale().see(after, {}), after)


@settings(max_examples=30, deadline=None)
@given(bits=st.integers(1, 7), seed=st.integers(0, 99))
def test_bit_depth_has_so_many_levels_and_is_idempotent(bits: int, seed: int) -> None:
    before = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    plugin = BitDepth(bits=bits)
    after = plugin.see(before, {})
    assert torch.equal(plugin.see(after, {}), after)
    assert len(after.unique()) <= 2**bits
    assert float((after - before).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6


@pytest.mark.parametrize("window", [3, 5, 7])
def test_median_is_that_of_scipy(window: Literal[3, 5, 7]) -> None:
    before = random_photos(2, 16)
    expected = median_filter(before.numpy(), size=(1, 1, window, window), mode="nearest")
    np.testing.assert_array_equal(MedianFilter(window=window).see(before, {}).numpy(), expected)


def test_jpeg_is_that_of_the_channel_with_and_without_gradients() -> None:
    before = random_photos(3, 32)
    published = Jpeg(quality=10).publish(before)
    assert torch.equal(JpegFilter().see(before, {}), published)
    assert torch.equal(JpegFilter().see(before.clone().requires_grad_(True), {}).detach(), published)


def test_blur_keeps_the_mean_and_smooths() -> None:
    before = random_photos(3, 32)
    after = BlurFilter(sigma=1.5).see(before, {})
    rough = [(image[..., 1:] - image[..., :-1]).abs().mean() for image in (before, after)]
    assert rough[1] < rough[0]
    inner = torch.zeros(1, 3, 32, 32)
    inner[..., 16, 16] = 1.0
    torch.testing.assert_close(BlurFilter(sigma=1.5).see(inner, {}).sum((2, 3)), torch.ones(1, 3))


def test_projection_is_a_projection_of_the_right_rank() -> None:
    room, _ = poisoned_room(64)
    plugin = OrthogonalProjection(epochs=5)
    learned = plugin.learn(room)
    directions = learned["directions"].double()
    assert directions.shape == (TOY.width - len(TOY), 3 * 32 * 32)
    torch.testing.assert_close(directions @ directions.T, torch.eye(len(directions), dtype=torch.float64), atol=1e-5,
                               rtol=0)  # fmt: skip
    # the matrix itself, on a block of pixels: symmetric, and applied twice it does nothing more
    unit = torch.eye(3 * 32 * 32)[:200].view(-1, 3, 32, 32)
    once = plugin.see(unit, learned)
    block = once.flatten(1)[:, :200]
    torch.testing.assert_close(block, block.T)
    torch.testing.assert_close(plugin.see(once, learned), once, atol=1e-5, rtol=0)
    assert float(torch.trace(torch.eye(len(directions)))) == len(directions)
    gone = plugin.see(learned["directions"].view(-1, 3, 32, 32), learned)
    assert float(gone.abs().max()) < 1e-4


def test_the_directions_of_one_phenotype_alone() -> None:
    room, _ = poisoned_room(64)
    whole = OrthogonalProjection(epochs=5).learn(room)["directions"].double()
    for phenotype in TOY:
        own = OrthogonalProjection(epochs=5, phenotype=phenotype).learn(room)["directions"].double()
        assert len(own) == len(TOY[phenotype]) - 1
        torch.testing.assert_close(own @ whole.T @ whole, own, atol=1e-5, rtol=0)


def separation(shown: Array, side: Array, direction: Tensor) -> float:
    """Distance of the two classes along a direction, in standard deviations."""
    along = torch.from_numpy(shown).double().flatten(1) @ direction.double().flatten()
    left, right = along[side == 0], along[side == 1]
    return float((left.mean() - right.mean()).abs() / (0.5 * (left.var() + right.var())).sqrt())


def test_projection_takes_the_separability_of_a_planted_shortcut() -> None:
    room, pattern = poisoned_room()
    plugin = OrthogonalProjection()
    learned = plugin.learn(room)
    others, truth, _ = planted(120, 9)  # photos that the linear model has not seen
    before = torch.from_numpy(others).float() / 255
    after = plugin.see(before, learned)
    wanted = torch.from_numpy(pattern)[None]
    left = plugin.see(wanted, {"directions": learned["directions"].double()})
    assert separation(before.numpy(), truth[:, 0], wanted) > 20
    assert separation(after.numpy(), truth[:, 0], left) < 2


@pytest.mark.slow
def test_a_network_behind_the_projection_learns_faces_again() -> None:
    room, _ = poisoned_room()
    plan: dict[str, Any] = {"epochs": 6, "learning_rate": 0.01, "patience": None, "augment": 0.0}
    found = {}
    for name, recipe in (
        ("standard", Standard(**plan)),
        ("projected", OrthogonalProjection(recipe={"use": "standard", **plan})),
    ):
        net = network()
        report = train_by(recipe, net, room)
        looking = look_through(report.filters, net).eval()
        with torch.no_grad():
            logits = looking(room.validation.photos.batch(np.arange(len(room.validation))))
        truth = torch.from_numpy(room.validation.labels[:, 0])
        found[name] = float((logits[:, TOY.slices["side"]].argmax(1) == truth).float().mean())
    assert found["standard"] < 0.75
    assert found["projected"] > found["standard"] + 0.15


@pytest.mark.parametrize("plugin", FIXED, ids=repr)
def test_gradients_pass(plugin: Countermeasure) -> None:
    before = (0.2 + 0.6 * random_photos(2, 16)).requires_grad_(True)
    seen = Filter(plugin, {})(before)
    (gradient,) = torch.autograd.grad((seen * torch.linspace(0, 1, 16)).sum(), before)
    assert bool(torch.isfinite(gradient).all())
    assert float((gradient != 0).float().mean()) > 0.5  # a pixel that is the median of no square has none


def test_a_white_box_defender_sees_through() -> None:
    """Behind a grayscale filter the gradient is the same colour-blind one that the luma weights give."""
    net = network()
    front = Filter(Grayscale(), {})
    looking = Predictor(Filtered(front, net), TOY).eval().requires_grad_(False)
    point = random_photos(2, 32).requires_grad_(True)
    (gradient,) = torch.autograd.grad(looking(point)[:, 0].sum(), point)
    torch.testing.assert_close(gradient[:, 0] / 0.299, gradient[:, 1] / 0.587, atol=1e-5, rtol=1e-3)
    room = data(8, 4)
    given = room.training.photos.batch(np.arange(8))
    attacked = defend(room, JointPGD(epsilon=0.1, steps=2), given, np.arange(8), Filtered(front, net), "test")
    assert float((attacked - given).abs().max()) == pytest.approx(0.1, abs=1e-5)
    features = deep_features(looking)
    coloured = random_photos(2, 32)
    for part, same in zip(features(coloured), features(front(coloured)), strict=True):
        torch.testing.assert_close(part, same)
    plain = deep_features(Predictor(net, TOY).eval())(coloured)
    assert any(not torch.allclose(part, other) for part, other in zip(features(coloured), plain, strict=True))


def test_parts_see_through_the_filter_too() -> None:
    net = network()
    looking = Predictor(Filtered(Filter(BitDepth(bits=1), {}), net), TOY).eval()
    shown = random_photos(3, 32)
    whole = looking(shown)
    torch.testing.assert_close(looking.only(shown, "tint"), whole[:, TOY.slices["tint"]])
    assert [part.phenotypes for part in parts_of(looking.network, TOY)] == [(0,), (1,)]
    front, behind = bare(looking.network)
    assert behind is net
    assert torch.equal(front(shown), BitDepth(bits=1).see(shown, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_filtered_predictor_comes_back_from_its_file(name: str, tmp_path: Any) -> None:
    people, genomes = cohort(48)
    out = train(task(SMALL, {"use": name, "recipe": QUICK}, cohort=people, genomes=genomes))
    again = train(task(SMALL, {"use": name, "recipe": QUICK}, cohort=people, genomes=genomes))
    digest = tensorfile.write(tmp_path / "one.safetensors", out)
    assert digest == tensorfile.write(tmp_path / "two.safetensors", again), "the same bytes each time"
    assert [entry["recipe"] for entry in out.meta["filters"]] == [name]
    shown = people.array("photos")
    judged = predict(load_predictor(out), shown)
    reread = predict(load_predictor(tensorfile.read(tmp_path / "one.safetensors")), shown)
    assert judged.tobytes() == reread.tobytes()
    unfiltered = Artefact(out.arrays, {**out.meta, "filters": []})
    assert not np.array_equal(judged, predict(load_predictor(unfiltered), shown)), "the filter is part of it"
    packed = pack(unpack(out))
    assert packed[1] == out.meta["filters"]
    assert all(np.array_equal(array, out.array(key)) for key, array in packed[0].items())


def test_filters_stack_and_come_along_with_the_start() -> None:
    people, genomes = cohort(48)
    inner = {"use": "bit-depth", "bits": 3, "recipe": QUICK}
    start = train(task(SMALL, {"use": "grayscale", "recipe": inner}, cohort=people, genomes=genomes))
    assert [entry["recipe"] for entry in start.meta["filters"]] == ["grayscale", "bit-depth"]
    blurred = {"use": "blur", "recipe": QUICK}
    out = train(task(SMALL, blurred, cohort=people, genomes=genomes, start=start))
    assert [entry["recipe"] for entry in out.meta["filters"]] == ["blur", "grayscale", "bit-depth"]
    front, _ = bare(load_predictor(out).network)
    shown = random_photos(2, 32)
    by_hand = BitDepth(bits=3).see(Grayscale().see(BlurFilter().see(shown, {}), {}), {})
    torch.testing.assert_close(front(shown), by_hand)


def test_training_sees_filtered_photos_only(monkeypatch: pytest.MonkeyPatch) -> None:
    room = data(16, 8)
    net = network()
    seen: list[Tensor] = []
    net.networks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))  # type: ignore[index]
    train_by(Grayscale(recipe={**QUICK, "epochs": 1}), net, room)
    assert seen
    assert all(torch.allclose(batch[:, 0], batch[:, 2]) for batch in seen)


def test_a_projection_also_cuts_photos_before_they_are_turned() -> None:
    room, _ = poisoned_room(64)
    plugin = OrthogonalProjection(epochs=3)
    view = Filter(plugin, plugin.learn(room))
    examples = plugin.room(room, view).training
    assert isinstance(examples.photos, Seen)
    index = np.array([5, 2])
    torch.testing.assert_close(examples.photos.batch(index), view(room.training.photos.batch(index)))
    np.testing.assert_array_equal(examples.photos.keys(index), room.training.photos.keys(index))
    assert examples.photos.size == 32
    assert len(examples.photos) == 64


def test_a_filter_that_nobody_registered_is_named() -> None:
    class Private(Countermeasure):
        """Nobody knows it."""

    with pytest.raises(PluginError, match="registered as no recipe"):
        pack([Filter(Private(), {})])
    lost = Artefact({}, {"filters": [{"recipe": "standard", "params": {}}]})
    with pytest.raises(WeightsError, match="no countermeasure any more"):
        unpack(lost)
    assert registry().name_of("recipe", Grayscale) == "grayscale"


WRONG = [
    ({"use": "grayscale", "recipe": "standart"}, "did you mean 'standard'"),
    ({"use": "grayscale", "recipe": {"use": "adversarial", "epsilon": 2}}, "epsilon: must be less than or equal to 1"),
    ({"use": "grayscale", "recipe": "best-of"}, "put the countermeasure into its recipes"),
    ({"use": "best-of", "recipes": ["jpeg", "best-of"]}, "best-of cannot stand inside best-of"),
    ({"use": "best-of", "recipes": ["jpeg", "jpeg"]}, "stands there twice"),
    ({"use": "best-of", "recipes": []}, "at least 1 item"),
    ({"use": "bit-depth", "bits": 8}, "less than or equal to 7"),
]


@pytest.mark.parametrize(("entry", "said"), WRONG, ids=[said for _, said in WRONG])
def test_wrong_recipes_are_named(entry: dict[str, Any], said: str) -> None:
    specs, wrong = parse_spec("recipe", entry, ())
    assert not specs
    assert len(wrong) == 1
    assert said in wrong[0].what


def test_one_class_is_no_training_set() -> None:
    people, genomes = cohort(24)
    truth = people.array("labels").copy()
    truth[people.array("split") == TRAIN, 0] = 1
    same = Artefact({**people.arrays, "labels": truth}, people.meta)
    for name in NAMES:
        with pytest.raises(Exception, match="every labelled training photo has side 'right'"):
            train(task(SMALL, {"use": name, "recipe": QUICK}, cohort=same, genomes=genomes))
