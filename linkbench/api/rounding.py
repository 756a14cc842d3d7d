"""Eight bits, and values that carry another value's gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


HALF_STEP = 0.5 / 255
"""Half a step of 8 bits: the most that rounding changes a pixel, and what a change must exceed to survive it."""

ROUNDING = 1e-6
"""Differences of float32 pixels that mean nothing."""


def rounded(photos: Tensor, steps: int) -> Tensor:
    """The nearest multiples of 1/steps (ties to even, as torch.round), float in [0, 1] to the same."""
    return (photos * steps).round().clamp(0, steps) / steps


def eight_bits(photos: Tensor) -> Tensor:
    """Rounded to multiples of 1/255."""
    return rounded(photos, 255)


def with_gradient_of(soft: Tensor, exact: Tensor) -> Tensor:
    """Exactly the values of `exact`, with the gradient of `soft`."""
    # soft - soft is exactly zero, so no bit of `exact` is lost, as it would be in soft + (exact - soft)
    return exact.detach() + (soft - soft.detach())
