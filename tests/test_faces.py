"""The procedural faces: what a photo depends on, and what it shows."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from linkbench.api.schema import PAPER
from linkbench.cohorts.faces import Confounders, render, render_batches

SEX, HAIR, EYE, SKIN = range(4)


def people(n: int, **fixed: str) -> tuple[Tensor, Tensor, Tensor]:
    """n people, one photo each, with all combinations of phenotypes but for the fixed ones."""
    ids = torch.arange(n)
    columns, rest = [], ids
    for name in PAPER:
        columns.append(rest % len(PAPER[name]))
        rest = rest // len(PAPER[name])
    for name, variant in fixed.items():
        columns[PAPER.names.index(name)] = torch.full((n,), PAPER[name].index(variant))
    return torch.stack(columns, 1), ids * 7919, ids % 3


@cache
def crowd() -> tuple[Tensor, Tensor]:
    phenotypes, ids, photos = people(400)
    return phenotypes, render(phenotypes, ids, photos, seed=5, size=32)


def change(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of photos by place: [h,w]."""
    return (a.float() - b.float()).abs().mean((0, 1))


def test_the_schema_is_the_one_of_the_paper() -> None:
    assert PAPER.names == ("sex", "hair", "eye", "skin")
    assert [len(PAPER[name]) for name in PAPER] == [2, 3, 3, 3]


@pytest.mark.parametrize("size", [32, 50, 64, 96, 256])
def test_photos_are_bytes_of_the_size_asked_for(size: int) -> None:
    photos = render(*people(3), seed=1, size=size)
    assert photos.shape == (3, 3, size, size)
    assert photos.dtype == torch.uint8
    assert photos.float().std((1, 2, 3)).min() > 15


@pytest.mark.slow
@pytest.mark.parametrize("size", [37, 64])
def test_a_photo_is_the_same_in_any_batch_and_order(size: int) -> None:
    phenotypes, ids, photos = people(64)
    everything = Confounders(0.5, 0.5, 0.7, 0.5, 0.3)
    together = render(phenotypes, ids, photos, seed=3, size=size, confounders=everything, batch=64)
    for rows, batch in ((torch.arange(0, 64, 9), 1), (torch.arange(63, -1, -1), 64), (torch.arange(5, 50), 7)):
        chosen = (phenotypes[rows], ids[rows], photos[rows])
        again = render(*chosen, seed=3, size=size, confounders=everything, batch=batch)
        assert torch.equal(again, together[rows])


def test_the_threads_of_the_caller_matter_neither_way() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = render(*people(9), seed=3, batch=2)
        torch.set_num_threads(3)
        assert torch.equal(render(*people(9), seed=3, batch=2), alone)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_the_global_random_state_is_neither_used_nor_moved() -> None:
    torch.manual_seed(1)
    first, state = render(*people(2), seed=3), torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(render(*people(2), seed=3), first)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_streaming_gives_the_same_photos_batch_by_batch() -> None:
    parts = list(render_batches(*people(10), seed=2, size=32, batch=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat(parts), render(*people(10), seed=2, size=32))
    assert render(*people(0), seed=2).shape == (0, 3, 64, 64)


def test_streaming_may_be_left_early() -> None:
    threads = torch.get_num_threads()
    stream = render_batches(*people(12), seed=2, size=32, batch=2)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == threads


def test_seed_identity_and_photo_each_give_another_photo() -> None:
    phenotypes, ids, photos = people(4)
    base = render(phenotypes, ids, photos, seed=1, size=32)
    for who, when, seed in ((ids, photos, 2), (ids + 1, photos, 1), (ids, photos + 1, 1)):
        other = render(phenotypes, who, when, seed=seed, size=32)
        assert (base != other).flatten(1).float().mean(1).min() > 0.5


def test_seeds_and_numbers_may_be_any_64_bit_integer() -> None:
    phenotypes = torch.zeros(3, 4, dtype=torch.int64)
    ids = torch.tensor([2**63 - 1, -(2**63), 0])
    for seed in (0, -1, 2**64 - 1, 2**63):
        assert render(phenotypes, ids, ids, seed=seed, size=32).shape[0] == 3


def test_photos_of_one_person_are_more_alike_than_of_two() -> None:
    n = 30
    phenotypes = torch.zeros(2 * n, 4, dtype=torch.int64)
    one, two = torch.arange(n).repeat_interleave(2), torch.arange(2 * n)
    shots = torch.arange(2 * n) % 2

    def distance(ids: Tensor) -> float:
        pairs = render(phenotypes, ids, shots, seed=8, size=32)[:, :, 8:24, 8:24].float().view(n, 2, -1)
        return float((pairs[:, 0] - pairs[:, 1]).abs().mean())

    assert distance(one) < 0.95 * distance(two)


@pytest.mark.parametrize(
    ("rows", "size", "batch", "message"),
    [(2, 16, 8, "32 to 256"), (2, 300, 8, "32 to 256"), (2, 64, 0, "at least one"), (3, 64, 8, "need phenotypes")],
)
def test_wrong_arguments_are_refused(rows: int, size: int, batch: int, message: str) -> None:
    ids = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        render(torch.zeros(rows, 4, dtype=torch.int64), ids, ids, seed=1, size=size, batch=batch)


def test_hair_changes_hair_and_leaves_the_skin() -> None:
    n = 40
    black, blonde = (render(*people(n, sex="female", hair=hair), seed=4) for hair in ("black", "blonde"))
    moved = change(black, blonde)
    top, cheeks, edges = moved[6:14, 24:40].mean(), moved[34:44, 26:38].mean(), moved[:, :3].mean()
    assert top > 12
    assert cheeks < 0.3 * top
    assert edges < 0.3 * top


def test_eyes_change_a_few_pixels_only() -> None:
    blue, brown = (render(*people(40, eye=eye), seed=4) for eye in ("blue", "brown"))
    touched = (blue != brown).flatten(1).float().mean(1)
    assert touched.median() < 0.05
    assert (touched > 0).float().mean() > 0.8
    where = change(blue, brown)
    assert where[15:40].sum() > 0.97 * where.sum()


def test_skin_changes_the_face_and_leaves_the_background() -> None:
    pale, dark = (render(*people(40, skin=skin), seed=4) for skin in ("pale", "dark"))
    moved = change(pale, dark)
    assert moved[28:40, 26:38].mean() > 40
    assert moved[:6, :6].mean() < 1


def test_skin_and_hair_get_lighter_in_order() -> None:
    phenotypes, photos = crowd()
    face = photos[:, :, 14:20, 13:19].float().mean((1, 2, 3))
    pale, intermediate, dark = (face[phenotypes[:, SKIN] == k].mean() for k in range(3))
    assert pale > intermediate + 10 > dark + 20
    top = photos[:, :, 4:7, 13:19].float().mean((1, 2, 3))
    black, blonde, brown = (top[phenotypes[:, HAIR] == k].mean() for k in range(3))
    assert blonde > brown + 10 > black + 20


def test_no_single_pixel_gives_the_sex_away() -> None:
    phenotypes, photos = crowd()
    values, male = photos.flatten(1), phenotypes[:, SEX] == 1
    for level in range(8, 256, 8):
        female_below, male_below = ((values[group] < level).float().mean(0) for group in (~male, male))
        balanced = 0.5 + 0.5 * (female_below - male_below).abs()
        assert balanced.max() < 0.76


def test_dyed_hair_hides_only_the_hair() -> None:
    genetic, dyed = (render(*people(40), seed=6, confounders=Confounders(dyed_hair=d)) for d in (0.0, 1.0))
    moved = change(genetic, dyed)
    assert moved[6:14, 24:40].mean() > 3 * moved[34:44, 28:36].mean()
    some = render(*people(40), seed=6, confounders=Confounders(dyed_hair=0.5))
    same = torch.stack([(some[k] == genetic[k]).all() for k in range(40)]).sum()
    assert 8 <= int(same) <= 32


def test_lenses_hide_the_eyes_whatever_their_colour() -> None:
    lenses = Confounders(lenses=1.0)
    blue, brown = (render(*people(20, eye=eye), seed=6, confounders=lenses) for eye in ("blue", "brown"))
    assert torch.equal(blue, brown)


def test_coloured_light_spreads_the_colours_of_photos() -> None:
    def spread(strength: float) -> float:
        photos = render(*people(60), seed=6, size=32, confounders=Confounders(coloured_light=strength)).float()
        return float((photos[:, 0] - photos[:, 2])[:, 14:20, 13:19].mean((1, 2)).std())

    assert spread(1.0) > 1.5 * spread(0.0)


def test_low_resolution_and_jpeg_damage_photos() -> None:
    def detail(photos: Tensor) -> float:
        return float((photos[..., 1:].float() - photos[..., :-1].float()).abs().mean())

    sharp = render(*people(20), seed=6)
    coarse = render(*people(20), seed=6, confounders=Confounders(low_resolution=1.0))
    assert detail(coarse) < 0.9 * detail(sharp)
    jpeg = render(*people(20), seed=6, confounders=Confounders(jpeg=1.0))
    assert 1 < change(sharp, jpeg).mean() < 20


def test_confounders_of_probability_zero_touch_no_photo_and_of_half_touch_some() -> None:
    plain = render(*people(40), seed=6, size=32)
    for half in (Confounders(low_resolution=0.5), Confounders(jpeg=0.5)):
        same = (render(*people(40), seed=6, size=32, confounders=half) == plain).flatten(1).all(1).sum()
        assert 8 <= int(same) <= 32
