"""Removal by averaging: a photo becomes the mean face of people who look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Defender

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet


class KSame(Defender):
    """The mean of the photo and those of the k - 1 others that are nearest to it in pixels (Newton et al. 2005).

    There the others are in the same release and share the mean, which gives k-anonymity; here they are people whom the
    tool has studied, so that a photo can be posted alone, and nothing is proved. No budget.
    """

    k: Annotated[int, Field(ge=2, le=1024, description="faces in a mean, the photo's own among them")] = 4

    @classmethod
    def trial(cls, folder: Any) -> dict[str, Any]:
        return {"k": 2}

    def learn(self, studied: StudySet) -> Any:
        """One photo each of other people. Raises PluginError with fewer than k people."""
        from linkbench.defenders.others import donors

        return donors(studied, self.k, f"k-same averages {self.k} people's photos")

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.api.training_data import to_unit
        from linkbench.defenders.others import learned_donors, shown

        pool = learned_donors(knowledge, "k-same finds the nearest")
        theirs = to_unit(pool.photos).to(photos)
        out = []
        # photo by photo: matrix products round otherwise in other batches, and a near tie would fall otherwise
        for photo, person in zip(photos, shown(knowledge), strict=True):
            apart = (theirs - photo).square().flatten(1).sum(dim=1)
            apart[torch.from_numpy(pool.identity == person).to(apart.device)] = torch.inf
            nearest = apart.argsort(stable=True)[: self.k - 1]
            out.append((photo + theirs[nearest].sum(dim=0)) / self.k)
        return torch.stack(out).clamp(0, 1) if out else photos
