"""Attribute recovery: filters that need no knowledge of the tool, what they do to photos, and that gradients pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from coloured import TOY, cohort, data, task
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import random_photos
from torch import Tensor, nn

from linkbench.api.data import Artefact
from linkbench.models.filters import Filter, Filtered
from linkbench.models.looks import steps_toward_each
from linkbench.models.predictor import load_predictor, parts_of, predict
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.recipes.averaged import Averaged
from linkbench.recipes.inpaint import Inpaint
from linkbench.recipes.super_resolution import SuperResolution
from linkbench.stages.train import train

SMALL = {"use": "small-cnn", "width": 4, "depth": 3}
QUICK: dict[str, Any] = {"use": "standard", "epochs": 1, "learning_rate": 0.01}
SIZES = {"variants": torch.tensor([len(TOY[phenotype]) for phenotype in TOY])}


def network(shared: bool = False) -> nn.Module:
    with seeded("cpu", 0):
        made = SmallCNN(width=4, depth=3, dropout=0.0, shared=shared).build(TOY, 32)
    return made.eval().requires_grad_(False)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(9, 20), st.integers(0, 1 << 20))
def test_inpainting_keeps_what_is_harmonic_and_forgets_the_pixel_itself(hole: int, size: int, seed: int) -> None:
    plugin = Inpaint(hole=hole)
    ramp = (torch.arange(size).float()[:, None] * 0.02 + torch.arange(size).float() * 0.01).expand(1, 3, size, size)
    inside = slice(2 * hole, size - 2 * hole)
    kept = plugin.see(ramp, {})[..., inside, inside]
    torch.testing.assert_close(kept, ramp[..., inside, inside], atol=4e-3, rtol=0)
    photos = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    changed = photos.clone()
    y, x = seed % size, (seed // 7) % size
    changed[..., y, x] = 1 - changed[..., y, x]
    seen, other = plugin.see(photos, {}), plugin.see(changed, {})
    assert torch.equal(seen[..., y, x], other[..., y, x]), "a pixel says nothing about itself"
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1


def test_steps_go_toward_the_variant_and_leave_no_trace() -> None:
    photos = random_photos(3, 32)
    whole = network()
    ways = steps_toward_each(whole, photos)
    assert len(ways) == TOY.width
    before = whole(photos)
    for column, way in enumerate(ways):
        assert set(way.unique().tolist()) <= {-1.0, 0.0, 1.0}
        assert (whole(photos + 1e-3 * way)[:, column] >= before[:, column]).all()
    with torch.inference_mode():
        again = steps_toward_each(whole, photos)
    assert all(torch.equal(one, other) for one, other in zip(ways, again, strict=True))


@pytest.mark.parametrize("copies", ["noise", "adversarial"])
@pytest.mark.parametrize("shared", [False, True])
def test_the_mean_answer_is_the_photo_s_own_whatever_batch_it_is_in_and_has_a_gradient(
    copies: Any, shared: bool
) -> None:
    filtered = Filtered(Filter(Averaged(copies=copies, draws=3, recipe="pretrained"), SIZES), network(shared)).eval()
    photos = random_photos(3, 32)
    together = filtered(photos)
    alone = torch.cat([filtered(photos[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    shown = photos.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(filtered(shown)[:, 0].sum(), shown)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    parts = [part.network(photos) for part in parts_of(filtered, TOY)]
    spans = list(TOY.slices.values())
    whole = torch.cat([together[:, span].softmax(1) for span in spans], dim=1)
    each = torch.cat(parts, dim=1)
    if copies == "noise":  # the steps of one phenotype alone are others
        torch.testing.assert_close(torch.cat([each[:, span].softmax(1) for span in spans], 1), whole)


def test_averaging_takes_a_photo_back_over_an_edge() -> None:
    """A network with a narrow pocket: at the photo itself, and nowhere around it, it says the other thing."""

    def pocket(photos: Tensor) -> Tensor:
        away = (photos - 0.5).flatten(1).abs().mean(1)
        return torch.stack([6 * torch.exp(-away / 0.004), 3 * torch.ones_like(away)], dim=1)

    class Net(nn.Module):
        def forward(self, photos: Tensor) -> Tensor:
            return pocket(photos)

    photo = torch.full((1, 3, 8, 8), 0.5)
    assert int(pocket(photo).argmax()) == 0
    view = Filter(Averaged(amount=0.02, recipe="pretrained"), {"variants": torch.tensor([2])})
    assert int(Filtered(view, Net())(photo).argmax()) == 1


def test_what_was_small_is_drawn_sharper_again() -> None:
    room = data(48, 12, noise=0.0)
    plugin = SuperResolution(width=4, steps=60, learning_rate=0.01, recipe="pretrained")
    view = Filter(plugin, plugin.learn(room))
    photos = room.validation.photos.batch(np.arange(12))
    blurred, clear = plugin._small().see(photos, {}), view(photos)
    assert (clear - photos).square().mean() < (blurred - photos).square().mean()
    shown = photos.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(view(shown).square().sum(), shown)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("recipe", [{"use": "averaged"}, {"use": "averaged", "copies": "adversarial"},
                                    {"use": "inpaint"}])  # fmt: skip
def test_it_comes_back_from_its_file(recipe: dict[str, Any]) -> None:
    people, genomes = cohort(48)
    out = train(task(SMALL, {**recipe, "recipe": QUICK}, cohort=people, genomes=genomes))
    shown = people.array("photos")[:8]
    judged = predict(load_predictor(out), shown)
    assert judged.tobytes() == predict(load_predictor(out), shown).tobytes()
    unfiltered = Artefact(out.arrays, {**out.meta, "filters": []})
    assert not np.array_equal(judged, predict(load_predictor(unfiltered), shown))
