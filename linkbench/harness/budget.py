"""The budget, kept and measured by the harness and not by the plugin."""

from __future__ import annotations

import torch
from torch import Tensor

from linkbench.api.budget import Budget
from linkbench.api.rounding import ROUNDING
from linkbench.metrics import image_quality

HALVINGS = 40
"""How precisely a change that is too large is shortened: to 2 ** -HALVINGS of itself."""

MARGIN = 1e-12
"""What a shortened change keeps from the edge of the ball, so that it counts as inside however sums are rounded."""

SSIM_ROUNDING = 1e-5
"""Differences of a float32 SSIM that mean nothing: its variances are small differences of larger numbers."""


def project(photos: Tensor, perturbed: Tensor, budget: Budget) -> Tensor:
    """`perturbed` taken back to the budget around `photos` and to [0, 1]; both float [n, 3, h, w], finite.

    A photo within both comes back as it is. In the norms `linf`, `l2` and `rms` the result is the nearest point of ball
    and range together: by the conditions of Karush, Kuhn and Tucker that point is photo + t (perturbed - photo), cut to
    the range (and the ceiling), for the largest t that keeps the length. For `ssim` the same line is searched by
    bisection; the result keeps the least similarity but need not be the nearest such photo, as similarity may rise
    and fall on the way.
    """
    low, high = _box(photos, budget.pixel)
    whole = torch.minimum(torch.maximum(perturbed, low), high)
    if budget.norm in ("none", "linf"):
        return whole
    (over,) = torch.nonzero(beyond(photos, whole, budget) > 0, as_tuple=True)
    if not len(over):
        return whole
    photos, low, high = photos[over], low[over], high[over]
    change = perturbed[over].double() - photos
    part = torch.zeros(len(over), dtype=torch.float64, device=photos.device)
    best = torch.minimum(torch.maximum(photos, low), high)
    for halving in range(1, HALVINGS + 1):
        more = part + 0.5**halving
        tried = (photos + more.view(-1, 1, 1, 1) * change).to(photos)
        tried = torch.minimum(torch.maximum(tried, low), high)
        fits = beyond(photos, tried, budget) <= -MARGIN
        part = torch.where(fits, more, part)
        best = torch.where(fits.view(-1, 1, 1, 1), tried, best)
    whole[over] = best
    return whole


def beyond(photos: Tensor, changed: Tensor, budget: Budget) -> Tensor:
    """float64 [n], how far each photo lies beyond the radius, in the unit of the norm; 0 or less within it."""
    if budget.radius is None:
        return torch.full((len(photos),), -torch.inf, dtype=torch.float64, device=photos.device)
    if budget.norm == "ssim":
        return budget.radius - image_quality.ssim(photos.double(), changed.double())
    if budget.norm == "linf":
        return image_quality.linf(photos, changed) - budget.radius
    scale = photos[0].numel() ** 0.5 if budget.norm == "rms" and len(photos) else 1.0
    return image_quality.l2(photos, changed) / scale - budget.radius


def excess(photos: Tensor, changed: Tensor, budget: Budget) -> Tensor:
    """float32 [n]: how far a plugin went beyond its radius, its ceiling or [0, 1], whichever is most; rounding is 0.

    The radius in the unit of its norm, the others in pixel units.
    """
    pixels = torch.maximum(-changed, changed - 1)
    if budget.pixel is not None:
        pixels = torch.maximum(pixels, (changed - photos).abs_().sub_(budget.pixel))
    worst = pixels.flatten(1).amax(dim=1).double()
    worst = worst.where(worst > ROUNDING, 0.0)
    if budget.norm not in ("none", "linf"):
        slack = SSIM_ROUNDING if budget.norm == "ssim" else ROUNDING
        if budget.norm == "l2" and len(photos):
            slack *= photos[0].numel() ** 0.5
        far = beyond(photos, changed, budget)
        worst = torch.maximum(worst, far.where(far > slack, 0.0))
    return worst.float()


def _box(photos: Tensor, pixel: float | None) -> tuple[Tensor, Tensor]:
    """The lowest and highest value that each pixel may have."""
    if pixel is None:
        return torch.zeros_like(photos), torch.ones_like(photos)
    return (photos - pixel).clamp_(0.0, 1.0), (photos + pixel).clamp_(0.0, 1.0)
