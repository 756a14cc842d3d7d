"""Budgets: what the harness takes back lies inside, in every norm; the nearest point where one is promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from linkbench.adapters.classifier_attack import AttackSpec, ClassifierAttack, defender
from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.knowledge import Knowledge
from linkbench.api.schema import PAPER
from linkbench.defenders.blur import Blur
from linkbench.defenders.fawkes import Fawkes
from linkbench.defenders.lowkey import LowKey
from linkbench.defenders.noise import Noise
from linkbench.defenders.none import Nothing
from linkbench.defenders.shortcut import Shortcut
from linkbench.errors import PluginError
from linkbench.harness.budget import beyond, excess, project
from linkbench.harness.defend import Defence
from linkbench.harness.knowledge import Known
from linkbench.metrics import image_quality


def pair(seed: int, size: int = 12, reach: float = 0.7, count: int = 3) -> tuple[Tensor, Tensor]:
    """Photos of 8 bits, some pixels at the ends of the range, and what a careless plugin makes of them."""
    random = torch.Generator().manual_seed(seed)
    photos = torch.rand(count, 3, size, size, generator=random).mul(1.6).sub(0.3).clamp(0, 1).mul(255).round().div(255)
    return photos, photos + reach * torch.randn(photos.shape, generator=random)


CEILINGS = st.one_of(st.none(), st.floats(0, 1))
BUDGETS = st.one_of(
    st.just(Budget()),
    st.builds(Budget, st.just("none"), st.none(), CEILINGS),
    st.builds(Budget, st.just("linf"), st.floats(0, 1), st.none()),
    st.builds(Budget, st.just("l2"), st.floats(0, 30), CEILINGS),
    st.builds(Budget, st.just("rms"), st.floats(0, 1), CEILINGS),
    st.builds(Budget, st.just("ssim"), st.floats(0, 1), CEILINGS),
)


@settings(max_examples=60, deadline=None)
@given(BUDGETS, st.integers(0, 1000), st.floats(0, 2))
def test_the_projection_lands_inside_and_stays(budget: Budget, seed: int, reach: float) -> None:
    photos, careless = pair(seed, reach=reach)
    assert not budget.problem()
    out = project(photos, careless, budget)
    assert 0 <= out.min() <= out.max() <= 1
    if budget.norm == "linf":
        assert (out - photos).abs().max() <= budget.pixel + 1e-7  # the ends of the ball are rounded once
    else:
        assert (beyond(photos, out, budget) <= 0).all()
    if budget.ceiling is not None:
        assert (out - photos).abs().max() <= budget.ceiling + 1e-7
    assert not excess(photos, out, budget).any()
    assert torch.equal(project(photos, out, budget), out)
    assert torch.equal(project(photos, photos, budget), photos)
    alone = torch.cat([project(photos[i : i + 1], careless[i : i + 1], budget) for i in range(len(photos))])
    torch.testing.assert_close(alone, out, atol=1e-6, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 1.5), st.one_of(st.none(), st.floats(0.05, 0.5)))
def test_the_projection_in_l2_is_the_nearest_point(seed: int, radius: float, ceiling: float | None) -> None:
    """Against a general solver of constrained problems, which knows nothing of lines through the photo."""
    photos, careless = pair(seed, size=2, reach=0.6, count=1)
    x, z = photos.flatten().double().numpy(), careless.flatten().double().numpy()
    reach = 1.0 if ceiling is None else ceiling
    found = minimize(
        lambda y: 0.5 * float(np.square(y - z).sum()),
        x,
        jac=lambda y: y - z,
        bounds=list(zip(np.maximum(x - reach, 0), np.minimum(x + reach, 1), strict=True)),
        constraints={
            "type": "ineq",
            "fun": lambda y: radius**2 - float(np.square(y - x).sum()),
            "jac": lambda y: -2 * (y - x),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.status in (0, 8)  # 8: no step makes it better, for at the very edge of the ball rounding decides
    assert np.square(found.x - x).sum() <= radius**2 + 1e-6
    for budget in (Budget("l2", radius, ceiling), Budget("rms", radius / 12**0.5, ceiling)):
        out = project(photos, careless, budget).flatten().double().numpy()
        np.testing.assert_allclose(out, found.x, atol=1e-3)
        assert np.square(out - z).sum() <= np.square(found.x - z).sum() + 1e-5


def test_the_projection_in_ssim_gives_back_what_the_budget_allows() -> None:
    photos, careless = pair(3, reach=1.0)
    for least in (0.5, 0.7, 0.9):
        found = image_quality.ssim(photos.double(), project(photos, careless, Budget("ssim", least)).double())
        torch.testing.assert_close(found, torch.full_like(found, least), atol=1e-4, rtol=0)
    near = photos + 1e-3
    assert torch.equal(project(photos, near, Budget("ssim", 0.5)), near.clamp(0, 1))


def test_the_excess_is_told_in_the_unit_of_the_norm() -> None:
    photos = torch.full((2, 3, 12, 12), 0.5)
    changed = photos.clone()
    changed[1] += 0.1
    length = 0.1 * (3 * 12 * 12) ** 0.5
    for budget, expected in (
        (Budget("linf", 0.04), 0.06),
        (Budget("l2", 1.0), length - 1.0),
        (Budget("rms", 0.03), 0.07),
        (Budget("rms", 0.5, ceiling=0.02), 0.08),
        (Budget("linf", 0.1), 0.0),
        (Budget("l2", length), 0.0),
        (Budget("rms", 0.1, ceiling=0.1), 0.0),
        (Budget(), 0.0),
    ):
        torch.testing.assert_close(excess(photos, changed, budget), torch.tensor([0.0, expected]), atol=1e-5, rtol=0)
    assert float(excess(photos, photos + 0.7, Budget()).max()) == pytest.approx(0.2)
    lower = excess(*pair(1), Budget("ssim", 0.9))
    expected = 0.9 - image_quality.ssim(*(photo.double() for photo in pair(1)))
    assert (lower >= expected.float() - 1e-6).all()


def classifier(norm: str, **params: object) -> Defender:
    spec = AttackSpec("Any", norm=norm)  # type: ignore[arg-type]
    return defender("any", "an attack", spec, ClassifierAttack, __name__).model_validate(params)


@pytest.mark.parametrize(
    ("plugin", "budget"),
    [
        (Nothing(), Budget()),
        (Blur(), Budget()),
        (Noise(epsilon=0.02), Budget("linf", 0.02)),
        (LowKey(), Budget("linf", 33 / 255)),
        (Fawkes(), Budget("ssim", 1 - 2 * 0.012, ceiling=15 / 255)),
        (Fawkes(dssim=0.1), Budget("ssim", 0.8, ceiling=15 / 255)),
        (Shortcut(epsilon=0.1), Budget("linf", 0.1)),
        (Shortcut(epsilon=3.0, norm=2), Budget("l2", 3.0)),
        (classifier("linf", epsilon=0.03), Budget("linf", 0.03)),
        (classifier("l2", rms=0.02), Budget("rms", 0.02)),
        (classifier("l2", rms=0.02, epsilon=0.1), Budget("rms", 0.02, ceiling=0.1)),
    ],
)
def test_every_kind_of_defender_states_its_true_budget(plugin: Defender, budget: Budget) -> None:
    assert plugin.budget() == budget
    assert not budget.problem()


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget("l3", 1.0), "norm 'l3' is none of"),  # type: ignore[arg-type]
        (Budget("l2"), "needs a radius"),
        (Budget("none", 1.0), "has no radius"),
        (Budget("l2", -1.0), "of 0 or more"),
        (Budget("rms", float("nan")), "no finite number"),
        (Budget("ssim", 1.5), "between 0 and 1"),
        (Budget("linf", 0.1, 0.1), "says the same twice"),
    ],
)
def test_an_impossible_budget_is_named(budget: Budget, words: str) -> None:
    class Odd(Defender):
        def budget(self) -> Budget:
            return budget

    with pytest.raises(PluginError, match=f"poison odd states an impossible budget: .*{words}"):
        Defence(Odd(), Known(PAPER, 0), "poison odd")


def test_a_defender_is_taken_back_in_its_own_norm() -> None:
    class Far(Shortcut):
        def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
            return 1 - photos

    photos, _ = pair(5)
    labels = np.zeros((3, len(PAPER)), np.int64)
    out = Defence(Far(epsilon=2.0, norm=2), Known(PAPER, 0, labels=labels), "far").perturb(photos, np.arange(3))
    torch.testing.assert_close(image_quality.l2(photos, out.photos), torch.full((3,), 2.0).double())
    torch.testing.assert_close(out.excess.double(), image_quality.l2(photos, 1 - photos) - 2.0, atol=1e-4, rtol=0)
    assert (out.photos - photos).abs().max() < 0.5  # not what an L-infinity ball of radius 2 would allow
