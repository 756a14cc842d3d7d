"""Each remedy for transfer against a small implementation of its own, and channels drawn anew at every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from pydantic import ValidationError
from standins import knowledge, predictor, random_photos
from torch import Tensor

from linkbench.api.schema import PAPER
from linkbench.channels.dct import round_softly, soft_jpeg
from linkbench.channels.jpeg import Jpeg
from linkbench.channels.resize import Resize
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.defenders.objectives import CrossEntropy
from linkbench.defenders.pgd import Ascent, ascend
from linkbench.defenders.sight import Sight
from linkbench.defenders.single_pgd import SinglePGD
from linkbench.defenders.transfer import NEAR, SMALLEST, Slope, Transfer, diverse, placement
from linkbench.registry.spec import nested_specs, parse_spec

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, SIDE, EPSILON = 4, 24, 0.05
NETWORK = predictor(smooth=True).double()
PHOTOS = random_photos(COUNT, SIDE).double()
TOLD = knowledge(COUNT, NETWORK)
GOAL = CrossEntropy(torch.arange(COUNT) % 2)
SIGHT = Sight(NETWORK)


def gradient(photos: Tensor) -> Tensor:
    point = photos.clone().requires_grad_(True)
    (out,) = torch.autograd.grad(GOAL.value(NETWORK(point)).sum(), point)
    return out


def direction(how: Transfer, photos: Tensor = PHOTOS, moments: tuple[str, ...] = ("0 0",)) -> list[Tensor]:
    slope = Slope(SIGHT, how, EPSILON)
    out = []
    for moment in moments:
        found = slope(photos.clone(), GOAL, TOLD, moment)
        assert found is not None
        out.append(found[0])
    return out


def test_nothing_is_the_plain_gradient() -> None:
    torch.testing.assert_close(direction(Transfer())[0], gradient(PHOTOS))


def test_momentum() -> None:
    """g <- mu g + gradient / mean |gradient|, photo by photo."""
    plain = gradient(PHOTOS).numpy()
    unit = plain / np.abs(plain).mean(axis=(1, 2, 3), keepdims=True)
    first, second, third = direction(Transfer(momentum=0.5), moments=("0", "1", "2"))
    np.testing.assert_allclose(first, unit, rtol=1e-9)
    np.testing.assert_allclose(second, 1.5 * unit, rtol=1e-9)
    np.testing.assert_allclose(third, 1.75 * unit, rtol=1e-9)


def test_translation() -> None:
    """The gradient convolved with a Gaussian that ends at three sigma, zeros around."""
    for width in (3, 7):
        sigma = (width - 1) / 6
        expected = scipy.ndimage.gaussian_filter(
            gradient(PHOTOS).numpy(), (0, 0, sigma, sigma), mode="constant", radius=(0, 0, width // 2, width // 2)
        )
        np.testing.assert_allclose(direction(Transfer(translation=width))[0], expected, atol=1e-12)


def test_scales() -> None:
    """The mean over i of the gradient of the loss of the photo times 2 ** -i."""
    expected = sum(gradient(PHOTOS / 2**i) / 2**i for i in range(4)) / 4
    torch.testing.assert_close(direction(Transfer(scales=4))[0], expected)


def test_variance() -> None:
    """Step t follows gradient + v(t - 1), where v(t) = mean of the gradients nearby - gradient."""
    first, second = direction(Transfer(neighbours=3), moments=("0", "1"))
    torch.testing.assert_close(first, gradient(PHOTOS))
    shape = (3, SIDE, SIDE)
    near = [PHOTOS + NEAR * EPSILON * TOLD.uniform(f"0 near {i}", shape, PHOTOS) for i in range(3)]
    variance = torch.stack([gradient(photos) for photos in near]).mean(0) - gradient(PHOTOS)
    torch.testing.assert_close(second, gradient(PHOTOS) + variance)
    spread = torch.stack(near) - PHOTOS
    assert spread.abs().max() <= NEAR * EPSILON
    assert spread.abs().max() > 0.95 * NEAR * EPSILON


def test_placement_is_interpolation_and_padding() -> None:
    for size, place in ((24, 0.3), (20, 0.0), (17, 0.5), (9, 0.999)):
        matrix = placement(SIDE, torch.tensor([float(size)]).double(), torch.tensor([place]).double())
        start = int(place * (SIDE - size + 1))
        small = torch.nn.functional.interpolate(PHOTOS, (size, SIDE), mode="bilinear", align_corners=False)
        expected = torch.zeros_like(PHOTOS)
        expected[:, :, start : start + size] = small
        torch.testing.assert_close(matrix[:, None] @ PHOTOS, expected)


def test_diversity() -> None:
    """Some photos are shrunk by up to a tenth and placed in black, the others stay; each by its own chance."""
    told = knowledge(400)
    white = torch.ones(400, 1, 30, 40)
    out = diverse(white, 0.7, told, "0 0 0")
    kept = (out == white).flatten(1).all(dim=1)
    assert 0.2 < kept.float().mean() < 0.45  # of those that are chosen some come out as large as before
    rows, columns = (out.amax(dim=(1, axis)).sum(dim=1) for axis in (3, 2))
    assert rows.min() >= round(SMALLEST * 30)
    assert columns.min() >= round(SMALLEST * 40)
    assert (out.flatten(1).sum(dim=1) - rows * columns).abs().max() < 1e-3
    above = out.amax(dim=(1, 3)).argmax(dim=1)
    assert (above > 0).any()
    assert (above[~kept] == 0).any(), "places differ"
    assert torch.equal(diverse(white, 0.0, told, "0"), white)
    assert torch.equal(diverse(white[5:9], 0.7, told.rows(torch.arange(5, 9)), "0 0 0"), out[5:9])
    assert not torch.equal(diverse(white, 0.7, told, "0 1 0"), out)
    shown = torch.stack([diverse(PHOTOS, 1.0, TOLD, f"0 {time} 0") for time in range(3)])
    for time in range(3):
        point = PHOTOS.clone().requires_grad_(True)
        seen = diverse(point, 1.0, TOLD, f"0 {time} 0")
        assert torch.equal(seen.detach(), shown[time])
        (expected,) = torch.autograd.grad(GOAL.value(NETWORK(seen)).sum(), point)
        torch.testing.assert_close(direction(Transfer(diversity=1.0), moments=(f"0 {time}",))[0], expected)


def test_all_at_once_are_combined_as_published() -> None:
    how = Transfer(momentum=0.9, diversity=0.5, translation=5, scales=2, neighbours=2)

    def mean_gradient(photos: Tensor, moment: str) -> Tensor:
        point = photos.clone().requires_grad_(True)
        value = sum(GOAL.value(NETWORK(diverse(point / 2**i, 0.5, TOLD, f"{moment} {i}"))).sum() / 2 for i in range(2))
        (out,) = torch.autograd.grad(value, point)  # type: ignore[arg-type]
        return out

    memory, variance = torch.zeros_like(PHOTOS), torch.zeros_like(PHOTOS)
    for moment, found in zip(("0", "1", "2"), direction(how, moments=("0", "1", "2")), strict=True):
        here = mean_gradient(PHOTOS, moment)
        names = [f"{moment} near {i}" for i in range(2)]
        near = [PHOTOS + NEAR * EPSILON * TOLD.uniform(name, (3, SIDE, SIDE), PHOTOS) for name in names]
        step = torch.from_numpy(
            scipy.ndimage.gaussian_filter(
                (here + variance).numpy(), (0, 0, 2 / 3, 2 / 3), mode="constant", radius=(0, 0, 2, 2)
            )
        )
        variance = torch.stack([mean_gradient(*each) for each in zip(near, names, strict=True)]).mean(0) - here
        memory = 0.9 * memory + step / step.abs().mean(dim=(1, 2, 3), keepdim=True)
        torch.testing.assert_close(found, memory)


def test_momentum_stays_with_its_photo() -> None:
    """A photo that leaves early changes nothing for the others."""

    class Until(CrossEntropy):
        def met(self, log_probs: Tensor) -> Tensor | None:
            return log_probs.gather(1, self.column[:, None])[:, 0] < -1.5

        def rows(self, index: Tensor) -> Any:
            return Until(self.column[index])

    how = Ascent(EPSILON, steps=6, transfer=Transfer(momentum=1.0, neighbours=1))
    goal = Until(GOAL.column)
    together = ascend(PHOTOS, SIGHT, goal, how, TOLD)
    for row in range(COUNT):
        index = torch.tensor([row])
        torch.testing.assert_close(
            ascend(PHOTOS[index], SIGHT, goal.rows(index), how, TOLD.rows(index))[0], together[row]
        )


def test_channels_are_drawn_for_each_photo_and_step() -> None:
    resize, file = Resize(factor=0.5), Jpeg(quality=40)
    sight = Sight(NETWORK, (resize.through, file.through))
    told, photos = knowledge(40), random_photos(40)
    drawn = []
    for time in range(6):
        out = sight.posted(photos, told, f"0 {time}")
        ways = torch.stack([(out - way.through(photos)).abs().amax(dim=(1, 2, 3)) for way in (resize, file)])
        assert (ways.min(dim=0).values < 1e-5).all()
        drawn.append(ways.argmin(dim=0))
    every = torch.stack(drawn)
    assert (every.float().mean(dim=0) > 0).float().mean() > 0.9
    assert 0.35 < every.float().mean() < 0.65
    part = torch.tensor([7, 3, 21])
    torch.testing.assert_close(
        sight.posted(photos[part], told.rows(part), "0 2"), sight.posted(photos, told, "0 2")[part]
    )
    assert len(sight.every()) == 2


def test_qualities_are_drawn_from_their_range() -> None:
    sight = Sight(NETWORK, (), (60, 62))
    told, photos = knowledge(60), random_photos(60)
    out = sight.posted(photos, told, "0 0")
    apart = torch.stack(
        [(out - soft_jpeg(photos, quality, round_softly)).abs().amax(dim=(1, 2, 3)) for quality in (60, 61, 62)]
    )
    assert (apart.min(dim=0).values < 1e-5).all()
    assert len(apart.argmin(dim=0).unique()) == 3
    for look, quality in zip(sight.every(), (60, 62), strict=True):
        assert torch.equal(look(PHOTOS), NETWORK(soft_jpeg(PHOTOS, quality, round_softly)))
    assert len(Sight(NETWORK, (Resize().through, Jpeg().through), (60, 62)).every()) == 4


def test_expectation_holds_in_every_channel() -> None:
    """Optimised for files of many qualities, a change does more in the worst of them than one made for none."""
    photos = random_photos(12, 32)
    told = knowledge(12, predictor(smooth=True))
    assert told.labels is not None
    column = PAPER.slices["hair"].start + told.labels[:, 1]

    def gain(defender: SinglePGD) -> Tensor:
        out = defender.perturb(photos, told)
        worst = [Jpeg(quality=quality).publish(out) for quality in (50, 70, 90)]
        assert told.predictor is not None
        return -torch.stack([told.predictor(each)[torch.arange(12), column] for each in worst]).amax(dim=0).mean()

    plain, files = (
        SinglePGD(phenotype="hair", epsilon=0.02, steps=15, qualities=qualities) for qualities in ((), (50, 90))
    )
    assert gain(files) > gain(plain)


def test_luck_in_one_channel_finishes_no_photo() -> None:
    """A photo is finished where it is in every channel, so those that stop are finished in all of them."""
    photos, told = random_photos(12), knowledge(12, predictor(smooth=True))
    over = [{"use": "resize", "factor": 0.5}, {"use": "jpeg", "quality": 50}]
    defender = JointPGD(epsilon=0.1, steps=12, target_rank=20, over=over)
    out = defender.perturb(photos, told)
    again = defender.perturb(out, told)
    done = (out - again).abs().flatten(1).amax(dim=1) == 0
    sight = defender.sight(told)
    assert done.any()
    from linkbench.defenders.objectives import Combinations, rank_table

    assert told.log_p is not None
    assert told.reference is not None
    combinations = Combinations(PAPER, torch.device("cpu"))
    ranks = rank_table(told.log_p, told.reference, combinations)
    for look in sight.every():
        reached = ranks.gather(1, combinations.predicted(look(out))[:, None])[:, 0]
        assert (reached[done] > 20).all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"translation": 4}, "odd number, found 4"),
        ({"qualities": [90, 60]}, "lowest and the highest quality"),
        ({"qualities": [60]}, "lowest and the highest quality"),
        ({"qualities": [0, 60]}, "lowest and the highest quality"),
        ({"through": True, "qualities": [60, 90]}, "leave one of them out"),
        ({"momentum": 1.0, "optimiser": "adam"}, "keeps a momentum of its own"),
        ({"over": [["pgn"]]}, "did you mean 'png'?"),
        ({"diversity": 1.5}, "less than or equal to 1"),
    ],
)
def test_wrong_parameters_are_explained(entry: dict[str, Any], message: str) -> None:
    specs, wrong = parse_spec("defender", {"use": "joint-pgd", **entry}, ())
    assert not specs
    assert message in wrong[0].what


def test_in_a_scenario() -> None:
    entry = {
        "use": "joint-pgd",
        "over": ["png", {"use": "resize", "factor": 0.5}],
        "qualities": [60, 95],
        "momentum": 1.0,
    }
    specs, wrong = parse_spec("defender", entry, ())
    assert not wrong
    assert len(specs) == 1, "lists that are values span no grid"
    plugin = specs[0].plugin()
    assert plugin.qualities == (60, 95)
    assert [inner.name for _, inner in nested_specs(specs[0])] == ["png", "resize"]
    grid, _ = parse_spec("defender", {"use": "joint-pgd", "qualities": [[60, 95], [30, 50]], "scales": [1, 3]}, ())
    assert len(grid) == 4
    with pytest.raises(ValidationError):
        JointPGD(over=["nothing-of-the-kind"])  # type: ignore[list-item]


@pytest.mark.slow
def test_the_same_numbers_whatever_the_batch() -> None:
    how = Ascent(EPSILON, 3, transfer=Transfer(1.0, 0.8, 3, 2, 2))
    sight = Sight(NETWORK, (Resize(factor=0.5).through, lambda photos: photos), (70, 90))
    whole = ascend(PHOTOS, sight, GOAL, how, TOLD)
    for row in range(COUNT):
        index = torch.tensor([row])
        alone = ascend(PHOTOS[index], sight, GOAL.rows(index), how, TOLD.rows(index))
        torch.testing.assert_close(alone[0], whole[row])
    assert not torch.equal(ascend(PHOTOS, sight, GOAL, how, replace(TOLD, seed=8)), whole)
