"""What removal puts in a photo comes from other people, chosen in secret or by likeness, never its own person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from standins import knowledge, predictor, random_photos, study_set

import linkbench.registry.spec  # noqa: F401  # plugins inside plugins are found by the registry
from linkbench.api.base import Defender
from linkbench.defenders.blend import Blend
from linkbench.defenders.chain import Chain
from linkbench.defenders.k_same import KSame
from linkbench.defenders.pixelate import Pixelate
from linkbench.defenders.recolour import Recolour
from linkbench.errors import PluginError
from linkbench.metrics.colour import delta_e, lab
from linkbench.metrics.image_quality import ssim
from linkbench.models.regions import find_regions

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, PEOPLE = 6, 9
PHOTOS = random_photos(COUNT).mul(255).round().div(255)
OTHERS = random_photos(2 * PEOPLE, seed=3).mul(255).round().div(255)
STUDIED = study_set(OTHERS, predictor(), [100 + row // 2 for row in range(2 * PEOPLE)])
ALL = [Blend(), KSame(k=3), Recolour()]


def told(defender: Defender, identity: tuple[int, ...] = tuple(range(COUNT)), seed: int = 7):  # type: ignore[no-untyped-def]
    return replace(knowledge(len(identity), seed=seed), identity=identity, learned=defender.learn(STUDIED))


def mixed_in(out: torch.Tensor, weight: float) -> list[int]:
    """Which person of the studied each photo was blended with: the one whose photo explains it exactly."""
    theirs = (out - (1 - weight) * PHOTOS) / weight
    apart = (theirs[:, None] - OTHERS[None]).abs().amax(dim=(2, 3, 4))
    assert (apart.amin(dim=1) < 1e-4).all()
    return [100 + int(row) // 2 for row in apart.argmin(dim=1)]


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.9])
def test_a_blend_is_photo_and_one_other_in_proportion(weight: float) -> None:
    blend = Blend(weight=weight)
    people = mixed_in(blend.perturb(PHOTOS, told(blend)), weight)
    assert len(set(people)) > 1
    others = mixed_in(blend.perturb(PHOTOS, told(blend, seed=8)), weight)
    assert people != others, "the choice follows the secret seed"
    assert people == mixed_in(blend.perturb(PHOTOS.flip(3).flip(3), told(blend)), weight)


def test_nobody_is_blended_with_themselves() -> None:
    blend = Blend(weight=1.0)
    for seed in range(30):
        identity = tuple(range(100, 100 + COUNT))
        people = mixed_in(blend.perturb(PHOTOS, told(blend, identity, seed)), 1.0)
        assert all(one != two for one, two in zip(people, identity, strict=True))


def test_all_photos_of_a_person_meet_the_same_other() -> None:
    blend = Blend(weight=1.0)
    out = blend.perturb(PHOTOS[:2], replace(told(blend, (4, 4)), keys=(10, 11)))
    assert torch.equal(out[0], out[1])


@settings(max_examples=20, deadline=None)
@given(k=st.integers(2, PEOPLE), row=st.integers(0, COUNT - 1))
def test_k_same_is_the_mean_of_the_nearest(k: int, row: int) -> None:
    tool = KSame(k=k)
    pool = tool.learn(STUDIED)
    (out,) = tool.perturb(PHOTOS[row : row + 1], told(tool, (row,)))
    theirs = pool.photos.astype(np.float64) / 255
    photo = PHOTOS[row].double().numpy()
    distance = [np.linalg.norm(other - photo) for other in theirs]
    nearest = sorted(range(PEOPLE), key=distance.__getitem__)[: k - 1]
    expected = (photo + sum(theirs[other] for other in nearest)) / k
    np.testing.assert_allclose(out.double().numpy(), expected, atol=1e-6)


def test_k_same_leaves_out_the_person_of_the_photo() -> None:
    tool = KSame(k=2)
    pool = tool.learn(STUDIED)
    own = torch.from_numpy(pool.photos[:1]).float() / 255
    stranger = tool.perturb(own, told(tool, (5,)))
    assert torch.allclose(stranger, own, atol=1e-6), "the nearest is the very photo"
    itself = tool.perturb(own, told(tool, (int(pool.identity[0]),)))
    assert not torch.allclose(itself, own, atol=1e-2)


SKIN, HAIR, WALL = (0.85, 0.62, 0.5), (0.12, 0.08, 0.06), (0.3, 0.5, 0.7)


def drawn(skin: tuple[float, ...] = SKIN, hair: tuple[float, ...] = HAIR, size: int = 64) -> torch.Tensor:
    """A face of two colours before a wall."""
    y = ((torch.arange(size) + 0.5) / size)[:, None]
    x = ((torch.arange(size) + 0.5) / size)[None]
    out = torch.tensor(WALL).view(3, 1, 1).expand(3, size, size)
    out = torch.where(((y - 0.4) / 0.36) ** 2 + ((x - 0.5) / 0.3) ** 2 < 1, torch.tensor(hair).view(3, 1, 1), out)
    return torch.where(((y - 0.55) / 0.28) ** 2 + ((x - 0.5) / 0.22) ** 2 < 1, torch.tensor(skin).view(3, 1, 1), out)


def test_regions_are_found_and_the_wall_is_not() -> None:
    found = find_regions(drawn()[None])
    for region, here, elsewhere in ((found.skin, (36, 32), (10, 32)), (found.hair, (10, 32), (36, 32))):
        assert region[0][here] > 0.9
        assert region[0][elsewhere] < 0.05
        assert region[0, 2, 2] < 0.05
    torch.testing.assert_close(found.skin_colour, lab(torch.tensor(SKIN).view(1, 3, 1, 1))[..., 0, 0])
    torch.testing.assert_close(found.hair_colour, lab(torch.tensor(HAIR).view(1, 3, 1, 1))[..., 0, 0])


def test_a_bald_head_has_no_hair_and_is_recoloured_all_the_same() -> None:
    bald = find_regions(drawn(hair=SKIN)[None])
    assert bald.hair.max() == 0
    assert bald.hair_colour.isnan().all()


@pytest.mark.parametrize("limit", [0.0, 6.0, 200.0])
def test_recolour_takes_the_colours_of_another_as_far_as_it_may(limit: float) -> None:
    others = torch.stack([drawn((0.4, 0.26, 0.2), (0.75, 0.6, 0.35))] * 2)
    tool = Recolour(delta_e=limit)
    learned = tool.learn(study_set(others, predictor(), [50, 51]))
    photo = drawn()[None]
    out = tool.perturb(photo, replace(knowledge(1), identity=(1,), learned=learned))
    moved = delta_e(photo, out)
    assert moved.max() <= limit + 0.01
    if limit == 0:
        assert torch.equal(out, photo)
    elif limit == 6:
        assert moved[0, 36, 32] > 5.5
        assert moved[0, 10, 32] > 5.5
    else:
        torch.testing.assert_close(out[0, :, 36, 32], others[0, :, 36, 32], atol=0.03, rtol=0)
        torch.testing.assert_close(out[0, :, 10, 32], others[0, :, 10, 32], atol=0.06, rtol=0)
    assert moved[0, 2, 2] < 0.05 * max(limit, 1), "the wall stays"


def test_recolour_mixes_the_same_other_in() -> None:
    others = torch.stack([drawn((0.4, 0.26, 0.2), (0.75, 0.6, 0.35))] * 2).mul(255).round().div(255)
    studied = study_set(others, predictor(), [50, 51])
    photo = drawn()[None]
    plain, mixed = (
        tool.perturb(photo, replace(knowledge(1), identity=(1,), learned=tool.learn(studied)))
        for tool in (Recolour(), Recolour(weight=0.25))
    )
    torch.testing.assert_close(mixed, 0.75 * plain + 0.25 * others[:1])


def test_a_chain_is_one_after_the_other() -> None:
    chain = Chain(defenders=[{"use": "pixelate", "block": 4}, {"use": "blend", "weight": 0.25}])
    out = chain.perturb(PHOTOS, told(chain))
    coarse = Pixelate(block=4).perturb(PHOTOS, knowledge(COUNT))
    pool = chain.learn(STUDIED)[1].photos.astype(np.float32) / 255
    assert np.abs(pool - Pixelate(block=4).perturb(torch.from_numpy(pool), knowledge(9)).numpy()).max() < 0.01, (
        "the second studies what the first leaves"
    )
    theirs = (out - 0.75 * coarse) / 0.25
    assert all(min(float((one - torch.from_numpy(other)).abs().max()) for other in pool) < 1e-4 for one in theirs)


def test_in_a_chain_a_person_has_one_other() -> None:
    chain, blend = Chain(defenders=[{"use": "blend", "weight": 0.0}, {"use": "blend", "weight": 0.5}]), Blend()
    torch.testing.assert_close(chain.perturb(PHOTOS, told(chain)), blend.perturb(PHOTOS, told(blend)))


def test_each_of_a_chain_keeps_its_own_budget() -> None:
    learns = {"use": "suppress", "ssim": 0.9, "steps": 1, "width": 2, "opponents": 1, "restarts": 0}
    chain = Chain(defenders=[{"use": "pixelate", "block": 8}, learns])
    studied = replace(STUDIED, labels=np.zeros((2 * PEOPLE, 4), dtype=np.int64))
    coarse = Pixelate(block=8).perturb(PHOTOS, knowledge(COUNT))
    out = chain.perturb(PHOTOS, replace(knowledge(COUNT), learned=chain.learn(studied)))
    assert (ssim(coarse.double(), out.double()) >= 0.9).all()
    assert (ssim(PHOTOS.double(), out.double()) < 0.9).all()


@pytest.mark.parametrize(("link", "says"), [
    ("decoy-pgd", "decoy-pgd must see more than labels (predictor) and cannot be chained"),
    ({"use": "blend", "rate": 0.5}, "leave 'rate' and 'identities' out of blend"),
    ("re-render", "re-render must see more than labels (redraw)"),
])  # fmt: skip
def test_what_cannot_be_chained_is_said(link: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Chain(defenders=["recolour", link])
    assert says in str(caught.value)


@pytest.mark.parametrize("defender", ALL)
def test_too_few_people_are_refused(defender: Defender) -> None:
    few = study_set(OTHERS[:2], predictor(), [3, 3])
    with pytest.raises(PluginError, match=r"show 1 person; give it photos of [23] or more"):
        defender.learn(few)
    with pytest.raises(PluginError, match="given none"):
        defender.perturb(PHOTOS, replace(told(defender), learned=None))
