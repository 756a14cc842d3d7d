"""Colours of the regions of a face as a network: differentiable, with a few numbers that can be fitted.

Skin: the individual typology angle ITA = arctan((L* - 50) / b*) in degrees (Chardin et al. 1991), whose classes meet at
55, 41, 28, 10 and -30 (Del Bino & Bernerd 2013). Hair and irises: the distance in CIELAB, lightness halved, to a colour
that is typical of each variant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from linkbench.api.schema import Schema
from linkbench.metrics.colour import lab
from linkbench.models.regions import find_regions

ITA = {"very-pale": 62.0, "pale": 48.0, "intermediate": 34.0, "dark": -14.0, "dark-to-black": -46.0}
"""Degrees, such that neighbours meet at 55, 41, 10 and -30: very light, light, intermediate and tan, brown, dark."""

HAIR = {
    "black": (13.0, 1.0, 1.0), "brown": (29.0, 8.0, 13.0), "red": (37.0, 22.0, 27.0), "blonde": (58.0, 7.0, 25.0),
    "blond": (58.0, 7.0, 25.0),
}  # fmt: skip
IRIS = {"blue": (48.0, -4.0, -9.0), "intermediate": (42.0, 0.0, 9.0), "brown": (26.0, 9.0, 14.0)}
"""CIELAB colours typical of the variants."""

ITA_SPREAD, COLOUR_SPREAD = 12.0, 10.0
"""Standard deviations of people of one variant, in degrees and in CIELAB."""

LEAST = 4.0
"""Pixels at 64 px of a region that must be seen; fewer tell nothing."""


class ColorimetryNetwork(nn.Module):
    """Photos [n, 3, s, s] to logits [n, V]: log-likelihoods of the colours seen, 0 where nothing is seen or known."""

    def __init__(self, schema: Schema, eye_span: float, eye_height: float) -> None:
        super().__init__()
        self.schema = schema
        self.eye_span, self.eye_height = eye_span, eye_height
        self.typical = nn.ParameterList()
        self.spread = nn.ParameterList()
        for name in schema:
            typical = _typical(name, schema[name])
            self.typical.append(nn.Parameter(typical))
            self.spread.append(nn.Parameter(torch.tensor(math.log(ITA_SPREAD if name == "skin" else COLOUR_SPREAD))))

    def forward(self, photos: Tensor) -> Tensor:
        skin, hair, iris, seen_hair, seen_iris = self._colours(photos)
        angle = torch.rad2deg(torch.atan2(skin[:, 0] - 50, skin[:, 2].clamp_min(1.0)))
        everything = torch.ones_like(seen_hair)
        seen = {
            "skin": (angle[:, None], everything),
            "hair": (_halved(hair), seen_hair),
            "eye": (_halved(iris), seen_iris),
        }
        logits = []
        for name, typical, spread in zip(self.schema, self.typical, self.spread, strict=True):
            if name not in seen:
                logits.append(typical[:, 0].expand(len(photos), -1))
                continue
            feature, there = seen[name]
            apart = (feature[:, None] - typical).square().sum(dim=2)
            logits.append(-apart / (2 * torch.exp(2 * spread)) * there[:, None])
        return torch.cat(logits, dim=1)

    def _colours(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """CIELAB of skin, hair and irises [n, 3], and whether hair and irises are seen, 0 or 1, [n]."""
        colours = lab(photos)
        with torch.no_grad():  # where the regions are is not what a small change of colours is to move
            regions = find_regions(photos)
            eyes = self._eyes(colours, regions.skin)
        least = LEAST * (photos.shape[-1] / 64) ** 2
        skin, _ = _mean(colours, regions.skin)
        hair, much = _mean(colours, regions.hair)
        iris, any_ = _mean(colours, eyes)
        return skin, hair, iris, (much >= least).to(photos), (any_ >= least / 4).to(photos)

    def _eyes(self, colours: Tensor, skin: Tensor) -> Tensor:
        """[n, h, w], how much each pixel counts as iris: near an eye, neither skin nor the white, nor a glint."""
        height, width = colours.shape[-2:]
        y = ((torch.arange(height, device=colours.device) + 0.5) / height - self.eye_height)[:, None]
        x = (torch.arange(width, device=colours.device) + 0.5) / width - 0.5
        aside = (x.abs() - self.eye_span / 2)[None]
        near = torch.exp(-(aside.square() + (1.5 * y).square()) / (2 * (0.16 * self.eye_span) ** 2))
        white = torch.sigmoid((colours[:, 0] - 65) / 4)
        return near * (1 - white) * (1 - skin).clamp(0, 1).square()


def _typical(name: str, variants: tuple[str, ...]) -> Tensor:
    """float32 [K, D], what is typical of each variant; [K, 1] zeros for phenotypes that colours do not tell."""
    if name == "skin" and all(variant in ITA for variant in variants):
        return torch.tensor([[ITA[variant]] for variant in variants])
    table = {"hair": HAIR, "eye": IRIS}.get(name, {})
    if all(variant in table for variant in variants):
        return _halved(torch.tensor([table[variant] for variant in variants]))
    return torch.zeros(len(variants), 1 if name not in ("hair", "eye") else 3)


def _halved(colours: Tensor) -> Tensor:
    """Lightness counts half, since light falls as it will."""
    return colours * colours.new_tensor([0.5, 1.0, 1.0])


def _mean(colours: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """[n, 3], mean colours by weights [n, h, w], and the summed weights [n]."""
    total = weight.flatten(1).sum(dim=1)
    return (colours * weight[:, None]).flatten(2).sum(dim=2) / total.clamp_min(1e-6)[:, None], total
