"""Several channels, one after the other."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linkbench.api.base import Channel
from linkbench.api.fields import ChannelSpecs, nested
from linkbench.channels.float import Float

if TYPE_CHECKING:
    from torch import Tensor


class Chain(Channel):
    """What several postings do to a photo: `{use: chain, channels: [{use: resize, size: 32}, jpeg]}`."""

    channels: ChannelSpecs = nested("channel", description="one after the other, the first one first")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"channels": [{"use": "resize"}, {"use": "jpeg"}]}

    @property
    def eight_bit(self) -> bool:  # type: ignore[override]  # other channels know it without their parameters
        """Whether published photos are multiples of 1/255: as the last channel that does anything says."""
        return next((link.eight_bit for link in reversed(self.links()) if not isinstance(link, Float)), False)

    def links(self) -> list[Channel]:
        """The channels in order."""
        from linkbench.registry.spec import nested_plugin

        return [nested_plugin(value, "channel") for value in self.channels]

    def publish(self, photos: Tensor) -> Tensor:
        return reduce(lambda seen, link: link.publish(seen), self.links(), photos)

    def through(self, photos: Tensor) -> Tensor:
        """The channels' own gradients, multiplied."""
        return reduce(lambda seen, link: link.through(seen), self.links(), photos)
