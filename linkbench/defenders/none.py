"""The control that must be in every table: the photo as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from linkbench.api.base import Defender

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge


class Nothing(Defender):
    """Leaves the photo as it is."""

    control: ClassVar[bool] = True

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        return photos
