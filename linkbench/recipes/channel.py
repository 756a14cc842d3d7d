"""Photos after any channel: what postings do, an attacker can do as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linkbench.api.countermeasure import Countermeasure
from linkbench.api.fields import ChannelSpecs, nested

if TYPE_CHECKING:
    from torch import Tensor


class ChannelFilter(Countermeasure):
    """The predictor sees photos as they come out of channels, one after the other; gradients pass through as they say.

    So the preprocessors of other packages are countermeasures too: `{use: channel, channels: [art/spatial-smoothing]}`.
    """

    channels: ChannelSpecs = nested("channel", description="what photos go through, in this order")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {**super().trial(folder), "channels": [{"use": "resize"}]}

    def see(self, photos: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        import torch

        from linkbench.channels.chain import Chain

        chain = Chain(channels=self.channels)
        if torch.is_grad_enabled() and photos.requires_grad:
            return chain.through(photos)
        return chain.publish(photos)
