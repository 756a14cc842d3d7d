"""Photos after a median filter: single pixels that stand out from their neighbours vanish, edges stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from linkbench.api.countermeasure import Countermeasure

if TYPE_CHECKING:
    from torch import Tensor


class MedianFilter(Countermeasure):
    """The predictor sees each value replaced by the median of a square around it, colour by colour.

    Xu et al. 2018, feature squeezing. Beyond the border photos go on as their outermost pixels.
    """

    window: Literal[3, 5, 7] = Field(3, description="edge of the square in pixels")

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        import torch.nn.functional as F

        around = self.window // 2
        wide = F.pad(photos, (around,) * 4, mode="replicate")
        squares = wide.unfold(2, self.window, 1).unfold(3, self.window, 1)  # [n, 3, h, w, window, window]
        return squares.flatten(-2).median(dim=-1).values
