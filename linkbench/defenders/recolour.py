"""Semantic removal: attacks read visible colours, so skin and hair take those of somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Fraction01

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet


class Recolour(Defender):
    """Move the colours of skin and hair towards those of a secret random other person, the same for all their photos.

    Each region is moved as a whole, in CIELAB, so that light and texture stay; where it ends the change fades out. No
    network is asked, so it meets all alike. Regions are found by place and colour in photos that a face fills. Eyes
    stay as they are: at the sizes that networks see they are a few pixels.
    """

    delta_e: Annotated[
        float, Field(ge=0, le=200, description="how far a region moves at most, in CIELAB (CIE 1976)")
    ] = 20.0

    weight: Fraction01 = Field(
        0.0, description="the other person's part of each pixel, mixed in afterwards as by `blend`"
    )

    def learn(self, studied: StudySet) -> Any:
        """Other people, and the colours of their skin and hair. Raises PluginError with fewer than two people."""
        import torch

        from linkbench.api.training_data import to_unit
        from linkbench.defenders.others import batches, donors
        from linkbench.models.regions import find_regions

        pool = donors(studied, 2, "recolour gives people the colours of others")
        found = [find_regions(to_unit(part).to(studied.device)) for part in batches(pool.photos)]
        return pool, torch.cat([each.skin_colour for each in found]), torch.cat([each.hair_colour for each in found])

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.api.training_data import to_unit
        from linkbench.defenders.others import met_first
        from linkbench.errors import PluginError
        from linkbench.metrics.colour import lab, rgb
        from linkbench.models.regions import find_regions

        if knowledge.learned is None:
            raise PluginError("recolour takes colours of people whom it has studied, but was given none")
        pool, skin, hair = knowledge.learned
        chosen = met_first(knowledge, pool.identity)
        here = find_regions(photos)
        change = here.skin[:, None] * self._step(here.skin_colour, skin[chosen])
        change = change + here.hair[:, None] * self._step(here.hair_colour, hair[chosen])
        moved = rgb(lab(photos) + change)
        # where nothing moves the photo stays as it is, to the bit
        moved = photos.where((change == 0).all(dim=1, keepdim=True), moved)
        return moved.lerp(to_unit(pool.photos[chosen]).to(photos), self.weight) if self.weight else moved

    def _step(self, colour: Tensor, wanted: Tensor) -> Tensor:
        """[n, 3, 1, 1], from one colour towards another, both [n, 3]; 0 where either is not known."""
        way = (wanted.to(colour) - colour).nan_to_num(0.0)
        length = way.norm(dim=1, keepdim=True)
        step: Tensor = way * (self.delta_e / length.clamp_min(self.delta_e)).nan_to_num(0.0)
        return step[:, :, None, None]
