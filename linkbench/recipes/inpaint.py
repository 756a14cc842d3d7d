"""Every pixel drawn anew from what surrounds it: what it was itself plays no part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor

SETTLED = 6
"""Sweeps for each pixel of a hole's edge squared; by then its middle changes by less than an 8-bit step."""


class Inpaint(Countermeasure):
    """The predictor sees photos in which every pixel was cut out once and filled in from the others.

    Square holes are cut on a grid, a hole's width apart, in four positions that together cover the photo; each hole is
    filled by the harmonic function of its border (Laplace's equation, by Jacobi's iteration). What the predictor sees
    of a pixel is what filled its hole. Attribute recovery by inpainting is PrivacyProber's (Rot et al. 2022).
    """

    hole: int = Field(2, ge=1, le=16, description="edge of the holes in pixels")

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        import torch

        height, width = photos.shape[-2:]
        down = torch.arange(height, device=photos.device).div(self.hole, rounding_mode="floor") % 2
        across = torch.arange(width, device=photos.device).div(self.hole, rounding_mode="floor") % 2
        out = torch.zeros_like(photos)
        for position in range(4):
            cut = (down[:, None] == position // 2) & (across[None, :] == position % 2)
            out = out + torch.where(cut, self._filled(photos, cut), 0.0)
        return out

    def _filled(self, photos: Tensor, cut: Tensor) -> Tensor:
        """The photos with the pixels of bool [h, w] drawn from the others."""
        import torch
        import torch.nn.functional as F

        known = torch.where(cut, 0.0, photos)
        # begin with the mean of what is known nearby
        near = 2 * self.hole + 1
        weight = F.avg_pool2d((~cut).to(photos)[None, None], near, 1, self.hole, count_include_pad=False)
        around = F.avg_pool2d(known, near, 1, self.hole, count_include_pad=False) / weight
        drawn = torch.where(cut, around, photos)
        for _ in range(SETTLED * self.hole**2 if self.hole > 1 else 1):
            wide = F.pad(drawn, (1, 1, 1, 1), mode="replicate")
            mean = (wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1] + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]) / 4
            drawn = torch.where(cut, mean, photos)
        return drawn
