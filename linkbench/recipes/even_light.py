"""Photos in even light: how bright and contrasty a photo is as a whole tells of the camera more than of the face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor

MEAN, DEVIATION = 0.5, 0.25
"""Of the brightness of every photo as the predictor sees it."""

LEAST = 0.05
"""Added to the deviation, so that a photo of one grey stays one."""


class EvenLight(Countermeasure):
    """The predictor sees every photo with the same mean and deviation of its brightness; colours keep their ratios."""

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        grey = photos.mean(dim=1, keepdim=True)
        mean = grey.mean(dim=(2, 3), keepdim=True)
        deviation = (grey - mean).square().mean(dim=(2, 3), keepdim=True).add(1e-8).sqrt()
        return (photos - mean) / (deviation + LEAST) * DEVIATION + MEAN
