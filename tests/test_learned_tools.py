"""Tools that train a network of their own: they keep their budgets, repeat, and learn what they are meant to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import knowledge, predictor, random_photos, study_set

from linkbench.api.base import Defender
from linkbench.api.schema import Schema
from linkbench.defenders import semi_adversarial
from linkbench.defenders.amortised import Amortised
from linkbench.defenders.decoys import Match, draw
from linkbench.defenders.others import secret_order
from linkbench.defenders.semi_adversarial import Mixer, shortened
from linkbench.defenders.suppress import Suppress
from linkbench.errors import PluginError
from linkbench.metrics.image_quality import ssim

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, PEOPLE = 6, 9
PHOTOS = random_photos(COUNT).mul(255).round().div(255)
OTHERS = random_photos(2 * PEOPLE, seed=3).mul(255).round().div(255)
LABELS = np.random.default_rng(0).integers(0, 2, (2 * PEOPLE, 4))
STUDIED = replace(
    study_set(OTHERS, predictor(smooth=True), [100 + row // 2 for row in range(2 * PEOPLE)]), labels=LABELS
)
QUICK = Suppress(steps=2, width=2, opponents=1, restarts=1)
ALL: list[Defender] = [QUICK, Amortised(steps=2, width=2)]


@pytest.fixture(autouse=True)
def _forget() -> None:
    semi_adversarial._TRAINED.clear()


@pytest.mark.parametrize("defender", ALL)
def test_too_few_people_are_refused(defender: Defender) -> None:
    few = replace(STUDIED, keys=np.arange(2), identity=np.array([3, 3]), labels=LABELS[:2])
    with pytest.raises(PluginError, match=r"show 1 person; give it photos of 2 or more"):
        defender.learn(few)
    with pytest.raises(PluginError, match="given none"):
        defender.perturb(PHOTOS, knowledge(COUNT, predictor()))


@settings(max_examples=15, deadline=None)
@given(least=st.floats(0.05, 1.0), seed=st.integers(0, 50))
def test_a_change_is_shortened_into_the_budget(least: float, seed: int) -> None:
    wild = random_photos(COUNT, seed=seed + 100) * 1.6 - 0.3
    out = shortened(PHOTOS, wild, least)
    assert out.min() >= 0
    assert out.max() <= 1
    reached = ssim(PHOTOS, out)
    assert (reached >= least).all()
    whole = ssim(PHOTOS, wild.clamp(0, 1)) >= least
    torch.testing.assert_close(out[whole], wild.clamp(0, 1)[whole])


@pytest.mark.parametrize(("logit", "expected"), [(-40.0, PHOTOS), (40.0, OTHERS[:COUNT])])
def test_the_bands_are_the_whole_difference(logit: float, expected: torch.Tensor) -> None:
    mixer = Mixer(2)
    with torch.no_grad():
        mixer.last.bias[:3] = logit  # type: ignore[index]
    torch.testing.assert_close(mixer.mix(PHOTOS, OTHERS[:COUNT]), expected)


@pytest.mark.parametrize("least", [0.95, 0.7, 0.4])
def test_suppress_keeps_its_similarity(least: float) -> None:
    tool = QUICK.model_copy(update={"ssim": least})
    out = tool.perturb(PHOTOS, replace(knowledge(COUNT), learned=tool.learn(STUDIED)))
    reached = ssim(PHOTOS.double(), out.double())
    assert (reached >= least).all()
    assert (reached < 1).all()


def test_the_network_is_no_secret_and_whom_it_mixes_in_is() -> None:
    pool, mixer = QUICK.learn(STUDIED)
    semi_adversarial._TRAINED.clear()
    torch.manual_seed(99)
    other_pool, again = QUICK.learn(replace(STUDIED, seed=STUDIED.seed + 1))
    for one, two in zip(mixer.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert not np.array_equal(pool.photos, other_pool.photos)
    told = replace(knowledge(2), learned=(pool, mixer), identity=(4, 4))
    twice = QUICK.perturb(PHOTOS[:1].expand(2, -1, -1, -1), told)
    torch.testing.assert_close(twice[0], twice[1])
    secret = QUICK.perturb(PHOTOS[:1], replace(knowledge(1, seed=8), learned=(pool, mixer), identity=(4,)))
    assert not torch.allclose(twice[:1], secret)


def test_it_is_trained_once_for_the_same_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    train = semi_adversarial._train
    monkeypatch.setattr(semi_adversarial, "_train", lambda *given: made.append(1) or train(*given))
    tools = [QUICK, QUICK, QUICK.model_copy(update={"ssim": 0.5})]
    assert [(tool.learn(STUDIED), len(made))[1] for tool in tools] == [1, 1, 2]
    QUICK.learn(replace(STUDIED, labels=1 - LABELS))
    assert len(made) == 3


class Reader:
    """An opponent who stands still: bright photos are of the second kind."""

    def __init__(self, *given: object) -> None:
        pass

    def study(self, photos: torch.Tensor, labels: torch.Tensor) -> None:
        pass

    def judge(self, photos: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        bright = 30 * (photos.mean(dim=(1, 2, 3)) - 0.5)
        return torch.nn.functional.cross_entropy(torch.stack([-bright, bright], dim=1), labels[:, 0])


def test_suppress_learns_to_show_opponents_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semi_adversarial, "_Opponent", Reader)
    labels = np.random.default_rng(1).integers(0, 2, (40, 1))
    photos = 0.3 * random_photos(40) + 0.15 + 0.35 * torch.from_numpy(labels).float().view(-1, 1, 1, 1)
    schema = Schema({"light": ("dark", "bright")})
    studied = replace(study_set(photos[:30], predictor(), list(range(30))), labels=labels[:30], schema=schema)

    def said(steps: int) -> float:
        tool = Suppress(ssim=0.4, steps=steps, width=2, opponents=1, restarts=0, learning_rate=0.02)
        pool, mixer = tool.learn(studied)
        told = replace(knowledge(10), identity=tuple(range(100, 110)), learned=(pool, mixer))
        out = tool.perturb(photos[30:], told)
        lent = [int(secret_order(told, person, pool.identity)[0]) for person in told.identity]
        return float(Reader().judge(out, torch.from_numpy(labels[pool.identity[lent]])))

    assert said(40) < 0.8 * said(1)


@pytest.mark.parametrize("epsilon", [0.0, 0.03])
def test_amortised_keeps_its_epsilon(epsilon: float) -> None:
    tool = Amortised(steps=2, width=2, epsilon=epsilon)
    told = replace(knowledge(COUNT), learned=tool.learn(STUDIED))
    assert (tool.perturb(PHOTOS, told) - PHOTOS).abs().max() <= epsilon + 1e-6


def test_amortised_learns_to_pass_for_the_decoy() -> None:
    network = predictor(smooth=True)

    def apart(steps: int) -> float:
        torch.manual_seed(0)
        tool = Amortised(steps=steps, width=2, epsilon=0.3, learning_rate=0.01)
        told = replace(knowledge(COUNT, network), learned=tool.learn(STUDIED), identity=tuple(range(COUNT)))
        pool = told.learned[0]
        goal = Match(pool.log_probs[draw(told, pool, None)].exp(), None)
        return float(-goal.value(network(tool.perturb(PHOTOS, told))).mean())

    assert apart(60) < 0.85 * apart(1)
