"""Colorimetry reads the colours that are there, says nothing where nothing is seen, and has useful gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from linkbench.api.schema import HIRISPLEX, PAPER, Schema
from linkbench.cohorts.faces import render
from linkbench.errors import InputError
from linkbench.metrics.colour import rgb
from linkbench.models.colorimetry import Colorimetry
from linkbench.models.predictor import Predictor
from linkbench.testing import examine

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 64
LAYOUT = {"eye_span": 0.155, "eye_height": 0.48}
"""Where rendered faces have their eyes."""


def painted(skin: tuple[float, float, float], hair: tuple[float, float, float]) -> Tensor:
    """One photo [1, 3, s, s]: an oval of one colour under a cap of another, both in CIELAB, before light grey."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, SIZE),) * 2, indexing="ij")
    colours = torch.tensor([85.0, 0.0, 0.0]).view(3, 1, 1).expand(3, SIZE, SIZE).clone()
    cap = ((x - 0.5) / 0.3).square() + ((y - 0.35) / 0.32).square() < 1
    face = ((x - 0.5) / 0.22).square() + ((y - 0.55) / 0.27).square() < 1
    colours[:, cap] = torch.tensor(hair)[:, None]
    colours[:, face] = torch.tensor(skin)[:, None]
    return rgb(colours[None])


def read(photos: Tensor, schema: Schema = PAPER, **params: float) -> dict[str, str]:
    network = Predictor(Colorimetry(**params).build(schema, photos.shape[-1]), schema).eval()
    with torch.no_grad():
        said = network(photos)[0]
    return {name: schema[name][int(said[span].argmax())] for name, span in schema.slices.items()}


@pytest.mark.parametrize(
    ("angle", "lightness", "variant"),
    [
        (60, 72, "pale"),
        (45, 68, "pale"),
        (30, 62, "intermediate"),
        (14, 55, "intermediate"),
        (5, 52, "dark"),
        (-40, 35, "dark"),
    ],
)
def test_skin_is_read_by_its_angle(angle: float, lightness: float, variant: str) -> None:
    yellow = (lightness - 50) / math.tan(math.radians(angle))
    assert read(painted((lightness, 10.0, yellow), (15.0, 0.0, 0.0)))["skin"] == variant


@given(st.floats(-60, 75).filter(lambda angle: min(abs(angle - edge) for edge in (10, 41)) > 4))
def test_classes_of_skin_meet_at_the_published_angles(angle: float) -> None:
    typical = Colorimetry().build(PAPER, SIZE).typical[3][:, 0]
    assert int((typical - angle).abs().argmin()) == (0 if angle > 41 else 1 if angle > 10 else 2)


@pytest.mark.parametrize(
    ("colour", "variant"), [((12.0, 1.0, 1.0), "black"), ((30.0, 9.0, 14.0), "brown"), ((64.0, 3.0, 40.0), "blonde")]
)
def test_hair_is_read_by_its_colour(colour: tuple[float, float, float], variant: str) -> None:
    assert read(painted((70.0, 10.0, 18.0), colour))["hair"] == variant


def test_what_colours_do_not_tell_is_left_open() -> None:
    network = Predictor(Colorimetry().build(PAPER, SIZE), PAPER).eval()
    with torch.no_grad():
        said = network(painted((70.0, 10.0, 18.0), (12.0, 1.0, 1.0)))[0].exp()
    assert said[:2].tolist() == pytest.approx([0.5, 0.5])
    other = Schema({"nose": ("small", "large"), "hair": ("green", "blue")})
    with torch.no_grad():
        said = Predictor(Colorimetry().build(other, SIZE), other)(torch.rand(2, 3, SIZE, SIZE)).exp()
    assert torch.allclose(said, torch.full((2, 4), 0.5))


def test_a_bald_head_tells_no_hair() -> None:
    network = Predictor(Colorimetry().build(PAPER, SIZE), PAPER).eval()
    with torch.no_grad():
        said = network(rgb(torch.tensor([70.0, 10.0, 18.0]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)))[0].exp()
    assert said[2:5].tolist() == pytest.approx([1 / 3] * 3)
    assert torch.isfinite(said).all()


def test_rendered_faces_are_read_better_than_by_guessing() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.stack([torch.randint(0, many, (90,), generator=random) for many in (2, 3, 3, 3)], dim=1)
    photos = render(labels, torch.arange(90), torch.zeros(90, dtype=torch.int64), seed=4, size=SIZE).float() / 255
    with torch.no_grad():
        said = Colorimetry(**LAYOUT).build(PAPER, SIZE)(photos)
    for column, least in ((1, 0.6), (3, 0.6)):
        span = list(PAPER.slices.values())[column]
        right = said[:, span].argmax(1) == labels[:, column]
        balanced = np.mean([right[labels[:, column] == variant].float().mean() for variant in range(3)])
        assert balanced > least


def test_gradients_move_what_is_read() -> None:
    """A defender who follows them makes pale skin look dark within a budget that is seen."""
    network = Predictor(Colorimetry().build(PAPER, SIZE), PAPER).eval()
    clean = painted((68.0, 10.0, 18.0), (30.0, 9.0, 14.0))
    photo = clean.clone()
    for _ in range(20):
        photo.requires_grad_()
        (gradient,) = torch.autograd.grad(network(photo)[0, PAPER.slices["skin"].stop - 1], photo)
        assert torch.isfinite(gradient).all()
        photo = (photo + 0.03 * gradient.sign()).detach().clamp(clean - 0.3, clean + 0.3).clamp(0, 1)
    with torch.no_grad():
        before, after = (network(each)[0, PAPER.slices["skin"]].exp() for each in (clean, photo))
    assert after[0] < before[0] - 0.2


def test_small_photos_are_refused() -> None:
    with pytest.raises(InputError, match="at least 32 px"):
        Colorimetry().build(PAPER, 24)


def test_hirisplex_has_its_own_classes() -> None:
    photo = painted((75.0, 8.0, 14.0), (37.0, 22.0, 27.0))
    said = read(photo, HIRISPLEX)
    assert (said["skin"], said["hair"]) == ("very-pale", "red")


def test_it_is_an_architecture_like_all() -> None:
    assert not [outcome for outcome in examine("architecture", "colorimetry") if outcome.status != "pass"]
