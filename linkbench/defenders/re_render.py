"""The bound of removal, where photos are drawn: the same photo of the same person with somebody else's phenotypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import MaybePhenotypes

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet


class ReRender(Defender):
    """Draw each photo again with the variants of a secret random other person, the same for all photos of a person.

    Pose, light, background and, as long as sex is kept, the shape of the face stay. No tool has what drew a photo: this
    says how little can be left, and how much of the photo that takes. Rendered people only.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels", "redraw"})

    keep: MaybePhenotypes = Field(("sex",), description="phenotypes that stay as they are")

    def learn(self, studied: StudySet) -> Any:
        """Other people and their variants. Raises PluginError with fewer than two people."""
        from linkbench.defenders.others import choose

        assert studied.labels is not None
        identity, rows = choose(studied, 2, "re-render gives people the looks of others")
        return identity, studied.labels[rows]

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.defenders.others import met_first
        from linkbench.errors import PluginError

        assert knowledge.redraw is not None
        assert knowledge.labels is not None
        if knowledge.learned is None:
            raise PluginError("re-render gives people the looks of others whom it has studied, but was given none")
        identity, theirs = knowledge.learned
        chosen = met_first(knowledge, identity)
        wanted = torch.from_numpy(theirs[chosen]).to(knowledge.labels)
        kept = [position for position, name in enumerate(knowledge.schema) if name in self.keep]
        wanted[:, kept] = knowledge.labels[:, kept]
        return knowledge.redraw(wanted).to(photos)
