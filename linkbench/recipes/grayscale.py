"""Photos without colour: a poison that lives in colours is gone, and so is what colours tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor


class Grayscale(Countermeasure):
    """The predictor sees brightness alone: JFIF's luma in all three colours. Liu et al. 2023."""

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        from linkbench.channels.dct import TO_YCC

        weights = photos.new_tensor(TO_YCC[0]).view(1, 3, 1, 1)
        return (photos * weights).sum(dim=1, keepdim=True).expand_as(photos)
