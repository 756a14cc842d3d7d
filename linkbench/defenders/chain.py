"""Several defenders, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from linkbench.api.base import Defender
from linkbench.api.fields import DefenderSpecs, nested

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from linkbench.api.data import Array
    from linkbench.api.knowledge import Knowledge, StudySet


class Chain(Defender):
    """Each defender changes what the ones before it left: `{use: chain, defenders: [recolour, suppress]}`.

    Each keeps its budget towards the photo that it is given, and studies other people's photos as the ones before it
    leave them. All draw from the same secret, so that defenders with a decoy give a person the same one. Only defenders
    that ask for no more than labels can be chained.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    defenders: DefenderSpecs = nested("defender", description="one after the other, the first one first")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"defenders": ["recolour", {"use": "blend", "weight": 0.3}]}

    @model_validator(mode="after")
    def _can_be_chained(self) -> Chain:
        for value, link in zip(self.defenders, self.links(), strict=True):
            if more := sorted(link.needs - self.needs):
                raise ValueError(f"{value['use']} must see more than labels ({', '.join(more)}) and cannot be chained")
            if link.rate < 1 or link.identities is not None:
                raise ValueError(f"who uses a chain is said of the chain: leave 'rate' and 'identities' out of "
                                 f"{value['use']}")  # fmt: skip
        return self

    def links(self) -> list[Defender]:
        """The defenders in order."""
        from linkbench.registry.spec import nested_plugin

        return [nested_plugin(value, "defender") for value in self.defenders]

    def learn(self, studied: StudySet) -> Any:
        """What each has learned, in order."""
        from dataclasses import replace
        from functools import partial

        from linkbench.api.knowledge import Knowledge

        learned: list[Any] = []
        links = self.links()

        def seen(before: int, index: np.ndarray[Any, Any]) -> Tensor:
            """Studied photos after the first `before` defenders."""
            known = Knowledge(
                studied.schema,
                tuple(studied.keys[index].tolist()),
                studied.seed,
                identity=tuple(studied.identity[index].tolist()),
            )
            return self._after(links[:before], learned, studied.pixels(index), known, _rows(studied.labels, index))

        for at, link in enumerate(links):
            labels = studied.labels if "labels" in link.needs else None
            learned.append(link.learn(replace(studied, pixels=partial(seen, at), labels=labels)))
        return learned

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        return self._after(self.links(), knowledge.learned, photos, knowledge, knowledge.labels)

    def _after(
        self, links: list[Defender], learned: list[Any], photos: Tensor, known: Knowledge, labels: Tensor | None
    ) -> Tensor:
        from dataclasses import replace

        from linkbench.harness.budget import project

        for link, own in zip(links, learned, strict=False):
            told = replace(known, learned=own, labels=labels if "labels" in link.needs else None)
            photos = project(photos, link.perturb(photos.clone(), told), link.budget())
        return photos


def _rows(labels: Array | None, index: Array) -> Tensor | None:
    import torch

    return None if labels is None else torch.from_numpy(labels[index])
