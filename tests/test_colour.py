"""CIELAB against kornia's, there and back, and the distances of known colours."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.color import lab_to_rgb, rgb_to_lab
from standins import random_photos

from linkbench.metrics.colour import delta_e, lab, rgb

pytestmark = pytest.mark.usefixtures("one_thread")


def test_lab_equals_kornia() -> None:
    photos = random_photos(4).double()
    # kornia rounds the matrix and the white of D65 to fewer digits
    torch.testing.assert_close(lab(photos), rgb_to_lab(photos), atol=0.02, rtol=0)
    torch.testing.assert_close(rgb(lab(photos)), lab_to_rgb(rgb_to_lab(photos)), atol=1e-3, rtol=0)


@settings(max_examples=50, deadline=None)
@given(colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_there_and_back(colour: tuple[int, int, int]) -> None:
    photo = torch.tensor(colour, dtype=torch.float64).div(255).view(1, 3, 1, 1)
    torch.testing.assert_close(rgb(lab(photo)), photo, atol=1e-6, rtol=0)
    assert delta_e(photo, photo).item() == 0


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colours(colour: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    found = lab(torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=0.02, rtol=0)


def test_black_to_white_is_a_hundred_and_gradients_are_finite() -> None:
    black, white = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    torch.testing.assert_close(delta_e(black, white), torch.full((1, 2, 2), 100.0), atol=1e-3, rtol=0)
    for photos in (black, white, random_photos(1)):
        seen = photos.clone().requires_grad_()
        rgb(lab(seen)).sum().backward()
        assert seen.grad is not None
        assert torch.isfinite(seen.grad).all()
