"""What lies between a photo and the predictor that a defender follows: nothing, a channel, or any of several.

A defence that is optimised through one channel may fail in the next. Expectation over transformation (Athalye et al.
2018): at every step each photo passes a channel drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from linkbench.api.knowledge import Knowledge
from linkbench.channels.dct import round_softly, soft_jpeg

Predictor = Callable[[Tensor], Tensor]
"""Photos float [n, 3, h, w] in [0, 1] to log-probabilities [n, ...], differentiable."""


class Sight(NamedTuple):
    """A predictor and the channels before it.

    postings: channels with gradients, one of which a photo passes at each step; qualities: lowest and highest quality
    of a JPEG file, one of which is written after that. Without either the predictor sees the photo as it is.
    """

    looks: Predictor
    postings: tuple[Callable[[Tensor], Tensor], ...] = ()
    qualities: tuple[int, int] | None = None

    @property
    def random(self) -> bool:
        """Whether anything is drawn."""
        return bool(self.postings) or self.qualities is not None

    def posted(self, photos: Tensor, told: Knowledge, moment: str) -> Tensor:
        """The photos after the channels that are drawn for them at this moment."""
        if self.postings:
            which = _drawn(told, f"posting {moment}", len(self.postings), photos)
            order = which.argsort(stable=True)
            parts = [
                posting(photos[which == number])
                for number, posting in enumerate(self.postings)
                if bool((which == number).any())
            ]
            photos = torch.cat(parts)[order.argsort()] if parts else photos
        if self.qualities is not None and len(photos):
            low, high = self.qualities
            each = _drawn(told, f"quality {moment}", high - low + 1, photos) + low
            photos = soft_jpeg(photos, each.tolist(), round_softly)
        return photos

    def every(self) -> list[Predictor]:
        """Fixed ways to see a photo: through each of the channels, and through the worst and the best file."""
        out = [_behind(posting, self.looks) for posting in self.postings] or [self.looks]
        if self.qualities is None:
            return out
        return [_through_file(look, quality) for look in out for quality in self.qualities]


def _drawn(told: Knowledge, purpose: str, count: int, photos: Tensor) -> Tensor:
    """int64 [n], a number below count for each photo."""
    chance = told.uniform(purpose, (1,), photos)[:, 0].double()
    return ((chance + 1) / 2 * count).long().clamp_(max=count - 1)


def _behind(posting: Callable[[Tensor], Tensor], looks: Predictor) -> Predictor:
    return lambda photos: looks(posting(photos))


def _through_file(looks: Predictor, quality: int) -> Predictor:
    return lambda photos: looks(soft_jpeg(photos, quality, round_softly))
