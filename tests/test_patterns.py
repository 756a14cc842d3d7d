"""The shortcut poisons: each pattern's defining property."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from standins import random_photos
from torch import Tensor

from linkbench.api.base import Defender
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import PAPER, Schema
from linkbench.defenders import theorem
from linkbench.defenders.convolution import Convolution, class_kernels
from linkbench.defenders.patterns import autoregressive, keys, lsp, mean_shift, one_pixel, rademacher
from linkbench.defenders.shortcut import Shortcut
from linkbench.errors import InputError, PluginError
from linkbench.harness.budget import project

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, COUNT, EPS = 24, 40, 8 / 255
PATTERNS = ("mean-shift", "rademacher", "lsp", "one-pixel", "autoregressive")
PHOTOS = random_photos(COUNT, SIZE)
GREY = torch.full((COUNT, 3, SIZE, SIZE), 0.5)
LABELS = torch.from_numpy(
    np.stack([np.random.default_rng(3).integers(0, len(PAPER[name]), COUNT) for name in PAPER], 1)
)
LABELS[:2, 0] = torch.tensor([0, 1])
LABELS[:3, 1] = torch.tensor([0, 1, 2])


def study_set(photos: Tensor = PHOTOS, labels: Tensor = LABELS, seed: int = 5, schema: Schema = PAPER) -> StudySet:
    return StudySet(
        schema=schema,
        pixels=lambda index: photos[torch.from_numpy(index)],
        keys=np.arange(len(photos)),
        labels=labels.numpy(),
        identity=np.arange(len(photos)),
        size=photos.shape[-1],
        device="cpu",
        seed=seed,
    )


def known(defender: Defender, photos: Tensor = PHOTOS, labels: Tensor = LABELS, seed: int = 5) -> Knowledge:
    learned = defender.learn(study_set(photos, labels, seed))
    return Knowledge(schema=PAPER, keys=tuple(range(len(photos))), seed=seed, labels=labels, learned=learned)


def poisoned(defender: Defender, photos: Tensor = PHOTOS, labels: Tensor = LABELS, seed: int = 5) -> Tensor:
    return defender.perturb(photos, known(defender, photos, labels, seed))


EVERY: dict[str, Callable[..., Defender]] = {
    **{pattern: (lambda pattern=pattern, **more: Shortcut(pattern=pattern, **more)) for pattern in PATTERNS},
    "convolution": lambda **more: Convolution(**more),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("phenotype", [None, "sex", "hair"])
def test_contract(name: str, phenotype: str | None) -> None:
    defender = EVERY[name](phenotype=phenotype)
    before = PHOTOS.clone()
    knowledge = known(defender)
    out = defender.perturb(PHOTOS, knowledge)
    assert torch.equal(PHOTOS, before)
    assert out.shape == PHOTOS.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert (out != PHOTOS).any()
    assert torch.allclose(project(PHOTOS, out, defender.budget()), out, atol=1e-6)
    assert torch.equal(out, poisoned(defender)), "two runs differ"
    batches = [torch.arange(0, 7), torch.arange(7, 8), torch.arange(8, COUNT)]
    apart = torch.cat([defender.perturb(PHOTOS[part], knowledge.rows(part)) for part in batches])
    assert torch.allclose(apart, out, atol=1e-6)
    backwards = torch.arange(COUNT - 1, -1, -1)
    turned = defender.perturb(PHOTOS[backwards], knowledge.rows(backwards))
    assert torch.allclose(turned[backwards], out, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("mean-shift", "one-pixel")])
def test_seed_matters(name: str) -> None:
    assert not torch.equal(poisoned(EVERY[name](), seed=5), poisoned(EVERY[name](), seed=6))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("phenotype", "column"), [("sex", 0), (None, 2)])
def test_unknown_labels_stay(name: str, phenotype: str | None, column: int) -> None:
    labels = LABELS.clone()
    labels[4:9, column] = -1
    out = poisoned(EVERY[name](phenotype=phenotype), labels=labels)
    assert torch.equal(out[4:9], PHOTOS[4:9])
    assert (out != PHOTOS).flatten(1).any(1)[9:].float().mean() > 0.9
    labels[:, column] = -1
    defender = EVERY[name](phenotype=phenotype)
    alone = replace(known(defender), labels=labels)
    assert torch.equal(defender.perturb(PHOTOS, alone), PHOTOS)


@pytest.mark.parametrize("name", EVERY)
def test_bad_material(name: str) -> None:
    lone = torch.zeros_like(LABELS)
    with pytest.raises(InputError, match="of one class"):
        EVERY[name](phenotype="sex").learn(study_set(labels=lone))
    with pytest.raises(InputError, match="none of the photos"):
        EVERY[name]().learn(study_set(labels=lone - 1))
    with pytest.raises(InputError, match="'height'"):
        EVERY[name](phenotype="height").learn(study_set())
    many = Schema({str(number): ("a", "b", "c") for number in range(7)})
    with pytest.raises(InputError, match="2187 combinations"):
        EVERY[name]().learn(study_set(schema=many))
    with pytest.raises(PluginError, match="learn"):
        EVERY[name]().perturb(PHOTOS, replace(known(EVERY[name]()), learned=None))


@pytest.mark.parametrize(
    "bad", [{"pattern": "stripes"}, {"epsilon": 1.5}, {"epsilon": -0.1}, {"phenotype": ""}, {"rank": 3}]
)
def test_bad_parameters(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Shortcut(**bad)
    for strength in (0.0, 1.1):
        with pytest.raises(ValidationError):
            Convolution(strength=strength)


def test_class_numbers_are_digits() -> None:
    numbers = keys.class_numbers(LABELS, PAPER, None)
    sizes = [len(PAPER[name]) for name in PAPER]
    assert np.array_equal(numbers.numpy(), np.ravel_multi_index(LABELS.numpy().T, sizes))
    assert np.array_equal(keys.class_numbers(LABELS.numpy(), PAPER, None), numbers.numpy())
    assert torch.equal(keys.class_numbers(LABELS, PAPER, "eye"), LABELS[:, 2])
    assert keys.class_count(PAPER, None) == 54


def rank(patterns: np.ndarray[Any, Any]) -> int:
    return int(np.linalg.matrix_rank(patterns.reshape(len(patterns), -1).astype(np.float64), tol=1e-3))


def test_rank_of_class_patterns() -> None:
    assert rank(mean_shift.class_patterns(54, SIZE, 1)) == 1
    assert rank(rademacher.class_patterns(2, SIZE, 1)) == 1
    assert rank(rademacher.class_patterns(54, SIZE, 1)) == 54
    # 8 x 8 patches of 3 colours: patterns cannot span more than 192 dimensions whatever the size of the photo
    assert rank(lsp.class_patterns(250, 32, 1, [PHOTOS])) == 192
    assert rank(lsp.class_patterns(54, SIZE, 1, [PHOTOS])) == 54
    assert rank(lsp.class_patterns(20, SIZE, 1, [PHOTOS])) == 20
    assert rank(lsp.class_patterns(2, SIZE, 1, [PHOTOS])) == 1
    for patterns in (
        mean_shift.class_patterns(9, SIZE, 1),
        rademacher.class_patterns(9, SIZE, 1),
        lsp.class_patterns(9, SIZE, 1, [PHOTOS]),
    ):
        assert patterns.shape == (9, 3, SIZE, SIZE)
        assert patterns.dtype == np.float32
        assert np.abs(patterns).max() == 1


def test_mean_shift_moves_every_pixel_alike() -> None:
    out = poisoned(Shortcut(pattern="mean-shift", phenotype="hair"), GREY)
    shift = torch.tensor([-EPS, 0.0, EPS])[LABELS[:, 1]]
    assert torch.allclose(out - GREY, shift[:, None, None, None].expand_as(GREY), atol=1e-6)


def test_rademacher_patterns() -> None:
    two = rademacher.class_patterns(2, 64, 3)
    assert np.array_equal(two[0], -two[1])
    assert set(np.unique(two)) == {-1.0, 1.0}
    assert abs(two[1].mean()) < 4 / np.sqrt(two[1].size)
    several = rademacher.class_patterns(5, 64, 3).reshape(5, -1)
    assert np.abs(several @ several.T / several.shape[1] - np.eye(5)).max() < 4 / np.sqrt(several.shape[1])


def test_lsp_patches_stand_out_from_the_photos() -> None:
    """Smooth photos differ less along the pattern than along any other drawn: reading it tells their classes."""
    steps = torch.linspace(0, 1, SIZE)
    amount = torch.rand(COUNT, 3, 2, generator=torch.Generator().manual_seed(4))
    photos = (amount[..., 0, None, None] * steps + amount[..., 1, None, None] * steps[:, None]) / 2
    own = lsp.class_patterns(2, SIZE, 1, [photos])[0].reshape(-1)
    others = np.random.default_rng(1).choice([-1.0, 1.0], (200, 3 * lsp.GRID**2))
    colours = lsp.coarse(photos).numpy()
    mine = (photos.flatten(1).numpy() @ own / len(own)).std()
    assert mine < (colours @ others.T / others.shape[1]).std(axis=0).min() / 2
    spread = np.cov(colours, rowvar=False)
    for start in others[:20]:
        w = lsp._calmed(start, spread)
        assert set(np.unique(w)) == {-1.0, 1.0}
        assert w @ spread @ w <= start @ spread @ start
        assert all((w - 2 * w * one) @ spread @ (w - 2 * w * one) >= w @ spread @ w - 1e-9 for one in np.eye(len(w)))
    out = poisoned(Shortcut(pattern="lsp", phenotype="sex"), photos)
    patterns = Shortcut(pattern="lsp", phenotype="sex").learn(study_set(photos))["patterns"]
    reading = torch.einsum("nxyz,xyz->n", out - photos.mean(0), patterns[1] - patterns[0])
    assert torch.equal(reading > 0, LABELS[:, 0] == 1)


def test_there_are_patterns_for_all_classes_however_alike_the_photos() -> None:
    for photos in (GREY, GREY * torch.linspace(0, 1, COUNT)[:, None, None, None]):
        patterns = lsp.class_patterns(300, SIZE, 1, [photos])
        assert len({pattern.tobytes() for pattern in patterns}) == 300


def test_coarse_takes_the_mean_of_each_patch() -> None:
    patches = PHOTOS.unfold(2, 3, 3).unfold(3, 3, 3).flatten(4).mean(-1)
    assert torch.allclose(lsp.coarse(PHOTOS), patches.double().flatten(1), atol=1e-6)
    assert lsp.coarse(PHOTOS[:, :, :5, :5]).shape == (COUNT, 3 * lsp.GRID**2)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["rademacher", "lsp"])
@pytest.mark.parametrize("phenotype", ["hair", None])
def test_linearly_separable_by_least_squares(pattern: str, phenotype: str | None) -> None:
    photos = torch.full((400, 3, 64, 64), 0.5)
    labels = torch.from_numpy(
        np.stack([np.random.default_rng(8).integers(0, len(PAPER[name]), 400) for name in PAPER], 1)
    )
    out = poisoned(Shortcut(pattern=pattern, phenotype=phenotype), photos, labels)
    numbers = keys.class_numbers(labels, PAPER, phenotype).numpy()
    # trained on half of the photos, tested on the others: the classes, not the photos, are told apart
    assert set(numbers[200:]) <= set(numbers[:200]) or phenotype is None
    seen = np.isin(numbers[200:], numbers[:200])
    model = theorem.least_squares(out[:200].numpy(), numbers[:200])
    assert theorem.accuracy(model(out[200:].numpy())[seen], numbers[200:][seen]) == 1.0


def test_lsp_patches_have_one_colour() -> None:
    change = poisoned(Shortcut(pattern="lsp"), GREY) - GREY
    patches = change.unfold(2, 3, 3).unfold(3, 3, 3).flatten(4)
    assert patches.shape[2:4] == (8, 8)
    assert patches.std(-1).max() < 1e-6
    assert change.abs().min() > 0.7 * EPS
    odd = lsp.class_patterns(6, 21, 0, [PHOTOS])
    assert odd.shape == (6, 3, 21, 21)
    assert len(np.unique(odd[0, 0, 19:, 19:])) == 1


def test_lsp_differs_from_photo_to_photo() -> None:
    labels = LABELS[:1].expand(COUNT, -1).clone()
    labels[-1] = (LABELS[0] + 1) % 2
    change = poisoned(Shortcut(pattern="lsp", phenotype="sex"), GREY, labels) - GREY
    assert (change[0] - change[1]).abs().max() > 0.01 * EPS
    assert torch.equal(change[0].sign(), change[1].sign())


def test_autoregressive_residual_is_zero_under_the_filter_of_the_class() -> None:
    filters = torch.from_numpy(autoregressive.class_filters(3, SIZE, 5))
    own = filters[LABELS[:, 1]]
    start = torch.rand(COUNT, 3, autoregressive.start_numbers(SIZE)) * 2 - 1
    noise = autoregressive.sample(own, start, SIZE)
    assert noise.square().mean((2, 3)).sqrt().numpy() == pytest.approx(1, rel=1e-4)
    assert autoregressive.residual(noise, own).abs().max() < 1e-4
    other = autoregressive.residual(noise, filters[(LABELS[:, 1] + 1) % 3])
    assert other.square().mean().sqrt() > 0.2
    # both halves: as much below zero as above
    assert (noise < 0).float().mean() == pytest.approx(0.5, abs=0.1)


def test_autoregressive_noise_uses_its_budget() -> None:
    torch.manual_seed(0)
    filters = torch.from_numpy(autoregressive.class_filters(2, 64, 5))[LABELS[:, 0]]
    noise = autoregressive.sample(filters, torch.rand(COUNT, 3, autoregressive.start_numbers(64)) * 2 - 1, 64)
    level = autoregressive.cut(noise).square().mean((1, 2, 3)).sqrt()
    assert autoregressive.cut(noise).abs().max() == 1
    assert level.min() > 0.75


def test_autoregressive_poison_obeys_the_relation_of_its_class() -> None:
    defender = Shortcut(pattern="autoregressive", phenotype="hair")
    knowledge = known(defender, GREY)
    change = (defender.perturb(GREY, knowledge) - GREY) / EPS
    filters = knowledge.learned["patterns"]
    mean = torch.stack([autoregressive.residual(change, f.expand(COUNT, 3, 8)).abs().mean((1, 2, 3)) for f in filters])
    assert torch.equal(mean.argmin(0), LABELS[:, 1])
    assert (change[0] - change[1]).abs().max() > 0.1


@pytest.mark.parametrize(("classes", "size"), [(2, 16), (9, 64)])
def test_autoregressive_filters(classes: int, size: int) -> None:
    """Weights of sum 1, as in the paper; noise neither dies out nor explodes; every two filters are unlike."""
    filters = torch.from_numpy(autoregressive.class_filters(classes, size, 1))
    assert filters.shape == (classes, 3, 8)
    assert torch.allclose(filters.sum(-1), torch.ones(classes, 3), atol=1e-4)
    start = torch.rand(40, classes, 3, autoregressive.start_numbers(size), generator=torch.Generator().manual_seed(0))
    many = filters.repeat(40, 1, 1)
    noise = autoregressive.run(many, start.flatten(0, 1) * 2 - 1, size + autoregressive.MARGIN)
    ends = (slice(0, size // 4), slice(-(size // 4), None))
    corners = [noise[..., rows, columns].square().mean((2, 3)) for rows in ends for columns in ends]
    weakest = torch.stack(corners).amin(0) / noise.square().mean((2, 3))
    assert weakest.unflatten(0, (40, classes)).median(0).values.sqrt().min() > 0.1
    again = autoregressive.sample(filters, start[0] * 2 - 1, size)
    own = autoregressive.residual(again, filters).abs().mean((1, 2, 3))
    for shift in range(1, classes):
        assert (autoregressive.residual(again, filters.roll(shift, 0)).abs().mean((1, 2, 3)) > 3 * own).all()


def test_autoregressive_run_is_the_slow_loop() -> None:
    filters = torch.randn(2, 3, 8, dtype=torch.float64) / 6
    edge = 9
    start = torch.randn(2, 3, 2 * edge + 2 * (edge - 2), dtype=torch.float64)
    fast = autoregressive.run(filters, start, edge)
    slow = fast.clone()
    slow[:, :, 2:, 2:] = 0
    for row in range(2, edge):
        for column in range(2, edge):
            window = slow[:, :, row - 2 : row + 1, column - 2 : column + 1].flatten(2)[..., :8]
            slow[:, :, row, column] = (window * filters).sum(-1)
    assert torch.allclose(fast, slow)


@pytest.mark.parametrize("epsilon", [1.0, EPS])
def test_one_pixel_changes_at_most_one_pixel(epsilon: float) -> None:
    out = poisoned(Shortcut(pattern="one-pixel", phenotype="hair", epsilon=epsilon))
    moved = (out != PHOTOS).any(1).flatten(1)
    assert moved.sum(1).max() == 1
    assert (out - PHOTOS).abs().max() <= epsilon + 1e-6
    for variant in range(3):
        rows = moved[LABELS[:, 1] == variant]
        assert rows.any(0).sum() == 1, "one place for the whole class"
        if epsilon == 1:
            colours = out[LABELS[:, 1] == variant].flatten(2)[:, :, rows.any(0)]
            assert len(torch.unique(colours, dim=0)) == 1
            assert set(colours.unique().tolist()) <= {0.0, 1.0}


def test_one_pixel_is_the_best_pixel() -> None:
    direct = []
    for corner in one_pixel.CORNERS.float():
        distance = (corner[None, :, None, None] - PHOTOS).abs().mean(1)
        direct.append(distance.mean(0) / (distance.std(0, unbiased=False) + one_pixel.FLOOR))
    made = one_pixel.scores(PHOTOS.split(11))
    assert torch.allclose(made.float(), torch.stack(direct), rtol=1e-3)
    targets = one_pixel.choose(3, lambda number: [PHOTOS], np.array([True, False, True]))
    assert targets[1] is None
    assert targets[0] != targets[2], "classes must not share a target"
    assert targets[0] is not None
    corner = int(torch.stack(direct).flatten(1).amax(1).argmax())
    assert targets[0].colour == tuple(one_pixel.CORNERS[corner].tolist())
    assert one_pixel.scores([PHOTOS[:1]]).isfinite().all()


def test_convolution_kernels() -> None:
    kernels = class_kernels(54, 0.3, 4)
    assert np.allclose(kernels.sum((1, 2)), 1)
    largest = kernels.reshape(54, 9).max(1, keepdims=True)
    others = np.sort(kernels.reshape(54, 9), axis=1)[:, :-1]
    assert (others <= 0.3 * largest + 1e-6).all()
    assert (kernels > 0).all()
    assert len(set(kernels.reshape(54, 9).argmax(1))) > 5
    assert rank(kernels[:9]) == 9


def test_convolution_is_the_filter_of_the_class() -> None:
    defender = Convolution(phenotype="hair")
    knowledge = known(defender)
    out = defender.perturb(PHOTOS, knowledge)
    for row in (0, 1, 2):
        kernel = knowledge.learned[LABELS[row, 1]].expand(3, 1, 3, 3)
        expected = torch.nn.functional.conv2d(PHOTOS[row : row + 1], kernel, groups=3)
        assert torch.allclose(out[row : row + 1, :, 1:-1, 1:-1], expected, atol=1e-6)
    assert torch.allclose(poisoned(defender, GREY), GREY, atol=1e-6)
