"""What other cameras, lights and posts make of a photo: for predictors that will meet photos of another kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linkbench.channels.gaussian import convolved, gaussian

TURN, STRETCH, SHIFT = 0.2, 0.1, 0.12
"""Radians, aspect and parts of the photo's half that the face is turned, stretched and moved by, at most."""

EXPOSURE, BALANCE, SATURATION, CONTRAST, LIGHT = 0.42, 0.07, 0.27, 0.22, 0.18
"""At strength 1: stops of the gamma curve, white balance of each colour, saturation, contrast, light from one side."""

TEXTURE, GRAIN, BLUR, SHARPEN = 0.08, 0.04, 1.2, 1.0
"""Patterns of all sizes, noise, the widest Gaussian blur in pixels at 64 px and the strongest sharpening."""

OFTEN, SELDOM, HIDDEN = 0.6, 0.3, 0.3
"""Parts of the photos that are blurred or patterned, that are sharpened, and in which a rectangle hides something."""


class _Draws:
    """Random numbers of a batch, on the CPU first so that they are the same for every device."""

    def __init__(self, photos: Tensor, random: torch.Generator) -> None:
        self.count, self.like, self.random = len(photos), photos, random

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """[n, *shape] uniform numbers, [n, 1, 1, 1] if no shape is given."""
        drawn = torch.rand(self.count, *(shape or (1, 1, 1)), generator=self.random)
        return drawn.mul_(high - low).add_(low).to(self.like)

    def chance(self, part: float) -> Tensor:
        """bool [n, 1, 1, 1]."""
        return self.between(0, 1) < part

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.random).to(self.like)


def other_cameras(photos: Tensor, strength: float, closer: float, random: torch.Generator) -> Tensor:
    """float [n, 3, s, s] in [0, 1] to the same, each photo as another camera might have taken and posted it.

    strength: of colours and light, 0 leaves them; closer: how much nearer the camera may be, 0.4 is 1.4 times as large.
    """
    draw = _Draws(photos, random)
    seen = _framed(photos, closer, draw)
    seen = _lit(seen, strength, draw)
    return _posted(seen, draw).clamp(0, 1)


def _framed(photos: Tensor, closer: float, draw: _Draws) -> Tensor:
    """Turned, stretched, moved and nearer."""
    zoom = 1 / draw.between(0.95, 1 + closer, 1)[:, 0]
    turn, stretch = draw.between(-TURN, TURN, 1)[:, 0], draw.between(1 - STRETCH, 1 + STRETCH, 1)[:, 0]
    theta = torch.zeros(draw.count, 2, 3, device=photos.device, dtype=photos.dtype)
    theta[:, 0, 0], theta[:, 0, 1] = zoom * turn.cos() * stretch, -zoom * turn.sin()
    theta[:, 1, 0], theta[:, 1, 1] = zoom * turn.sin(), zoom * turn.cos()
    theta[:, :, 2] = draw.between(-SHIFT, SHIFT, 2)
    grid = nn.functional.affine_grid(theta, list(photos.shape), align_corners=False)
    return nn.functional.grid_sample(photos, grid, padding_mode="reflection", align_corners=False)


def _lit(photos: Tensor, strength: float, draw: _Draws) -> Tensor:
    """Another exposure, white balance, saturation and contrast, and light that falls from one side."""
    seen = photos.clamp_min(1e-4) ** (2 ** (strength * draw.between(-EXPOSURE, EXPOSURE)))
    seen = seen * (1 + strength * draw.between(-BALANCE, BALANCE, 3, 1, 1))
    grey = seen.mean(dim=1, keepdim=True)
    seen = grey + (seen - grey) * (1 + strength * draw.between(-SATURATION, SATURATION))
    middle = seen.mean(dim=(1, 2, 3), keepdim=True)
    seen = middle + (seen - middle) * (1 + strength * draw.between(-CONTRAST, CONTRAST))
    along = torch.linspace(-1, 1, photos.shape[-1], device=photos.device)
    slope = draw.between(-1, 1) * along.view(1, 1, 1, -1) + draw.between(-1, 1) * along.view(1, 1, -1, 1)
    return seen * (1 + strength * LIGHT * slope)


def _posted(photos: Tensor, draw: _Draws) -> Tensor:
    """Blurred, sharpened, with grain and patterns, and with something in front."""
    size = photos.shape[-1]
    sigma = BLUR * size / 64
    soft = convolved(photos, gaussian(sigma, int(3 * sigma) + 1))
    seen = photos + (soft - photos) * draw.between(0, 1) * draw.chance(OFTEN)
    seen = seen + (seen - soft) * SHARPEN * draw.between(0, 1) * draw.chance(SELDOM)
    pattern = torch.zeros_like(photos)
    for cells in (2, 4, 8, 16, 32):
        coarse = draw.normal(3, cells, cells)
        pattern += nn.functional.interpolate(coarse, size=size, mode="bilinear") * cells**-0.5
    seen = seen + TEXTURE * draw.between(0, 1) * draw.chance(OFTEN) * pattern
    seen = seen + GRAIN * draw.between(0, 1) * draw.normal(3, size, size)
    at = (torch.arange(size, device=photos.device) + 0.5) / size
    x, y = at.view(1, 1, 1, -1) - draw.between(0.1, 0.9), at.view(1, 1, -1, 1) - draw.between(0.1, 0.9)
    hides = (x.abs() < draw.between(0.06, 0.2)) & (y.abs() < draw.between(0.06, 0.2)) & draw.chance(HIDDEN)
    return torch.where(hides, draw.between(0, 1, 3, 1, 1), seen)
