"""The decoy has nothing to do with the truth, is one for all photos of a person, and is matched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from standins import knowledge, predictor, random_log_p, random_photos, study_set
from torch import Tensor

from linkbench.api.knowledge import Knowledge
from linkbench.api.schema import PAPER
from linkbench.defenders.decoy_pgd import DecoyPGD
from linkbench.defenders.decoys import (
    NEARNESS,
    Match,
    Pool,
    Resemble,
    certain,
    commonest,
    draw,
    find_pool,
    meet,
    side_by_side,
    targets,
    variants,
    with_features,
)
from linkbench.defenders.others import MOST
from linkbench.errors import PluginError
from linkbench.models.features import deep_features
from linkbench.models.predictor import Ensemble, Predictor

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, PEOPLE = 8, 12
NETWORK = predictor()
PHOTOS = random_photos(COUNT)
OTHERS = random_photos(2 * PEOPLE, seed=3)
STUDIED = study_set(OTHERS, NETWORK, [100 + row // 2 for row in range(2 * PEOPLE)])
POOL = find_pool(STUDIED, features=True)
OBJECTIVES = ("matched", "features", "variants", "constant")


CRITICS = DecoyPGD(epsilon=0.05, steps=5, objective="independent").learn(STUDIED)


def told(identity: tuple[int, ...] = tuple(range(COUNT)), seed: int = 7, pool: Pool = POOL) -> Knowledge:
    """What the defender is told about photos of these people, and all it must not look at besides."""
    return replace(knowledge(len(identity), NETWORK, seed=seed), identity=identity, learned=pool)


def defender(**parameters: object) -> DecoyPGD:
    return DecoyPGD.model_validate({"epsilon": 0.05, "steps": 5, **parameters}, strict=False)


@pytest.mark.parametrize(
    "parameters", [{"objective": name} for name in (*OBJECTIVES, "independent")] + [{"keep": ["sex"]}]
)
def test_the_truth_plays_no_part(parameters: dict[str, object]) -> None:
    known = told()
    if parameters.get("objective") == "independent":
        known = replace(known, learned=CRITICS)
    labels = (known.labels + 1) % 2 if known.labels is not None else None
    other = replace(known, log_p=random_log_p(COUNT, 99), labels=labels, reference=random_log_p(9, 98))
    bare = replace(known, log_p=None, labels=None, reference=None)
    one, two, three = (defender(**parameters).perturb(PHOTOS, each) for each in (known, other, bare))
    assert one.numpy().tobytes() == two.numpy().tobytes() == three.numpy().tobytes()
    assert not DecoyPGD.needs & {"genome", "labels", "reference"}


@given(st.integers(0, 2**31), st.lists(st.integers(0, 5), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_one_decoy_for_all_photos_of_a_person(seed: int, identity: list[int]) -> None:
    whole = draw(told(tuple(identity), seed), POOL, None)
    for person in set(identity):
        rows = [row for row, who in enumerate(identity) if who == person]
        assert len(set(whole[rows].tolist())) == 1
        alone = draw(replace(told((person,), seed), keys=(12345,)), POOL, None)
        assert alone.tolist() == [whole[rows[0]]], "neither the batch nor the number of the photo bears on the draw"


def test_photos_of_a_person_go_the_same_way() -> None:
    same = torch.stack([PHOTOS[0]] * 2)
    out = defender().perturb(same, replace(told((4, 4)), keys=(0, 1)))
    assert torch.equal(out[0], out[1])
    apart = defender().perturb(same, replace(told((4, 5)), keys=(0, 1)))
    assert not torch.equal(apart[0], apart[1])
    assert torch.equal(apart[0], out[0])


def test_decoys_are_secret_uniform_and_somebody_else() -> None:
    people = tuple(range(100, 100 + PEOPLE))
    which = np.concatenate([draw(told(people, seed), POOL, None).numpy() for seed in range(100)])
    assert (POOL.identity[which] != np.array(people * 100)).all()
    counts = np.bincount(which, minlength=PEOPLE) / len(which)
    assert abs(counts - 1 / PEOPLE).max() < 0.05
    one, two = (draw(told(tuple(range(40)), seed), POOL, None) for seed in (1, 2))
    assert (one != two).float().mean() > 0.6


def test_without_identities_every_photo_is_a_person() -> None:
    keys = tuple(range(50, 50 + COUNT))
    by_key = draw(replace(told(), identity=(), keys=keys), POOL, None)
    assert torch.equal(by_key, draw(told(keys), POOL, None))


def test_kept_phenotypes_stay() -> None:
    looks, _ = side_by_side(NETWORK)
    sex = variants(looks(PHOTOS)[:, None].double(), PAPER)[:, 0]
    theirs = variants(POOL.log_probs, PAPER)[:, 0]
    assert len(theirs.unique()) == 2, "the pool must hold both sexes"
    allowed = sex[:, None] == theirs[None]
    chosen = draw(told(), POOL, allowed)
    assert torch.equal(theirs[chosen], sex)
    nobody = torch.zeros_like(allowed)
    assert torch.equal(draw(told(), POOL, nobody), draw(told(), POOL, None))
    shall = targets("matched", meet(("sex",), PHOTOS, looks, POOL, told()), POOL, PAPER)
    assert torch.equal(variants(shall.log(), PAPER)[:, 0], sex)


def test_a_pool_is_one_photo_each_of_people() -> None:
    assert POOL.identity.tolist() == list(range(100, 100 + PEOPLE))
    every = NETWORK(OTHERS).double()
    for person, log_probs in enumerate(POOL.log_probs[:, 0]):
        mine = every[2 * person : 2 * person + 2]
        assert (mine - log_probs).abs().amax(dim=1).min() < 1e-4
    assert not torch.equal(find_pool(replace(STUDIED, seed=6)).log_probs, POOL.log_probs)
    crowd = random_photos(8).repeat(-(-(MOST + 40) // 8), 1, 1, 1)
    large = find_pool(study_set(crowd, NETWORK, list(range(len(crowd)))))
    assert len(large.identity) == len(large.log_probs) == MOST
    assert len(np.unique(large.identity)) == MOST


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_photos_look_like_their_decoys(objective: str) -> None:
    known, far = told(), defender(objective=objective, epsilon=0.3, steps=30)
    said = POOL.log_probs[draw(known, POOL, None)].exp()
    target = {
        "matched": said,
        "features": said,
        "variants": certain(variants(POOL.log_probs, PAPER)[draw(known, POOL, None)], PAPER, 1),
        "constant": certain(commonest(POOL, PAPER), PAPER, 1).expand(COUNT, -1, -1),
    }[objective]
    before, after = (-Match(target, None).value(NETWORK(photos)) for photos in (PHOTOS, far.perturb(PHOTOS, known)))
    assert (after <= before + 1e-6).all()
    assert after.mean() < 0.2 * before.mean()


def test_divergence_is_that_of_its_definition() -> None:
    log_probs, target = NETWORK(PHOTOS), POOL.log_probs[:COUNT].exp()
    expected = torch.zeros(COUNT, dtype=torch.float64)
    for span in PAPER.slices.values():
        expected += torch.nn.functional.kl_div(
            log_probs[:, span].double(), target[:, 0, span], reduction="none"
        ).sum(dim=1)  # fmt: skip
    match = Match(target, 0.5)
    torch.testing.assert_close(-match.value(log_probs), expected)
    assert torch.equal(match.met(log_probs), expected <= 0.5)  # type: ignore[arg-type]
    torch.testing.assert_close(match.value(target[:, 0].log()), torch.zeros(COUNT, dtype=torch.float64))


def test_features_are_matched_beside_what_is_said() -> None:
    """Of photos that say the same, those whose last layers see the decoy are closer to it."""
    known = told()
    apart = {}
    for objective in ("matched", "features"):
        out = defender(objective=objective, epsilon=0.3, steps=30).perturb(PHOTOS, known)
        seen = torch.cat(
            [part / scale for part, scale in zip(deep_features(NETWORK)(out), POOL.scales, strict=True)], 1
        )
        assert POOL.features is not None
        apart[objective] = (seen - POOL.features[draw(known, POOL, None)]).square().sum(dim=1).mean()
    assert apart["features"] < 0.7 * apart["matched"]


def test_features_of_two_people_are_one_apart_in_every_network() -> None:
    assert POOL.features is not None
    everybody = range(PEOPLE)
    parts = POOL.features.split([part.shape[1] for part in deep_features(NETWORK)(PHOTOS)], dim=1)
    assert len(parts) == len(POOL.scales)
    for part in parts:
        pairs = [(part[one] - part[other]).square().sum() for one in everybody for other in everybody if one != other]
        assert float(torch.stack(pairs).mean()) == pytest.approx(1, rel=1e-4)
    assert find_pool(STUDIED).features is None


def test_resemblance_is_divergence_and_distance() -> None:
    said = Match(POOL.log_probs[:COUNT].exp(), 0.5)
    assert POOL.features is not None
    goal = Resemble(said, POOL.features[:COUNT], len(POOL.scales))
    looks = with_features(NETWORK, NETWORK, POOL.scales)
    seen = looks(PHOTOS)
    log_probs, features = seen[:, : PAPER.width], seen[:, PAPER.width :]
    distance = (features - POOL.features[:COUNT]).square().sum(dim=1) / len(POOL.scales)
    torch.testing.assert_close(goal.value(seen), said.value(log_probs) - NEARNESS * distance.double())
    assert torch.equal(goal.met(seen), said.met(log_probs))  # type: ignore[arg-type]
    index = torch.tensor([5, 2])
    torch.testing.assert_close(goal.rows(index).value(seen[index]), goal.value(seen)[index])


def test_matched_photos_are_left_alone() -> None:
    class Counting(torch.nn.Module):
        def forward(self, photos: Tensor) -> Tensor:
            seen.append(len(photos))
            out: Tensor = NETWORK(photos)
            return out

    seen: list[int] = []
    loose = defender(epsilon=0.3, steps=30, tolerance=0.3)
    out = loose.perturb(PHOTOS, replace(told(), predictor=Counting()))
    target = POOL.log_probs[draw(told(), POOL, None)].exp()
    apart = -Match(target, None).value(NETWORK(out))
    assert (apart <= 0.3 + 1e-3).float().mean() > 0.5
    assert sum(seen) < 0.7 * COUNT * 30


def test_every_member_of_an_ensemble_is_matched() -> None:
    members = [predictor(seed) for seed in (0, 2)]
    several = Ensemble([Predictor(torch.nn.Identity(), PAPER)] * 2)
    several.predictors = torch.nn.ModuleList(members)
    looks, count = side_by_side(several)
    assert count == 2
    assert torch.equal(looks(PHOTOS), torch.cat([member(PHOTOS) for member in members], dim=1))
    pool = find_pool(study_set(OTHERS, several, [row // 2 for row in range(2 * PEOPLE)]))
    known = replace(told(tuple(range(200, 200 + COUNT)), pool=pool), predictor=several)
    out = defender(epsilon=0.3, steps=30).perturb(PHOTOS, known)
    target = pool.log_probs[draw(known, pool, None)].exp()
    for number, member in enumerate(members):
        before, after = (
            -Match(target[:, number : number + 1], None).value(member(photos)).mean() for photos in (PHOTOS, out)
        )
        assert after < 0.4 * before


def test_what_it_cannot_do_without_is_said() -> None:
    for objective in ("constant", "independent"):
        with pytest.raises(ValidationError, match="leave 'keep' out"):
            defender(objective=objective, keep=["sex"])
    with pytest.raises(PluginError, match="show 1 person"):
        DecoyPGD().learn(study_set(OTHERS, NETWORK, [5] * len(OTHERS)))
    with pytest.raises(PluginError, match="was given none"):
        DecoyPGD().perturb(PHOTOS, replace(told(), learned=None))
