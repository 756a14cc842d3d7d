"""Class-keyed blur: photos from which a model learns to look at sharpness instead of the phenotype."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import PhenotypeName

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.data import Array
    from linkbench.api.knowledge import Knowledge, StudySet


def class_kernels(classes: int, strength: float, seed: int) -> Array:
    """float32 [classes, 3, 3] of sum 1: one tap (drawn per class) 1, the others U(0, strength), normalised."""
    import numpy as np

    from linkbench.api import seeds

    random = seeds.generator(seed, "convolution")
    kernels = random.uniform(0, strength, (classes, 9))
    kernels[np.arange(classes), random.integers(0, 9, classes)] = 1.0
    kernels /= kernels.sum(1, keepdims=True)
    return kernels.reshape(classes, 3, 3).astype(np.float32)


class Convolution(Defender):
    """Blur every photo with the 3x3 kernel of its class. Sadasivan et al. 2023 (CUDA).

    It has no budget; its changes are measured. Kernels sum to 1, so photos keep their brightness (the paper
    divides each filtered photo by its largest pixel instead); edges are continued by their last pixel. Photos without
    a label stay as they are.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    strength: Annotated[float, Field(gt=0, le=1, description="largest weight of the eight lesser taps")] = 0.3
    phenotype: PhenotypeName | None = Field(
        default=None, description="the phenotype whose variants are the classes; default: the combination of all"
    )

    def learn(self, study_set: StudySet) -> Tensor:
        """The kernels float32 [classes, 3, 3]. Raises InputError for an unknown phenotype or fewer than two classes."""
        import torch

        from linkbench.defenders.patterns.keys import class_count, class_numbers, need_two_classes

        assert study_set.labels is not None
        classes = class_count(study_set.schema, self.phenotype)
        need_two_classes(class_numbers(study_set.labels, study_set.schema, self.phenotype), "poison convolution")
        return torch.from_numpy(class_kernels(classes, self.strength, study_set.seed)).to(study_set.device)

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.defenders.patterns.keys import change_classes

        return change_classes(photos, knowledge, self.phenotype, _blurred)


def _blurred(photos: Tensor, numbers: Tensor, knowledge: Knowledge) -> Tensor:
    """Photos seen through the kernels of their classes."""
    import torch
    from torch.nn import functional as F

    height, width = photos.shape[-2:]
    kernels = knowledge.learned.to(photos)[numbers]
    padded = F.pad(photos, (1, 1, 1, 1), mode="replicate")
    out = torch.zeros_like(photos)
    for row, column in itertools.product(range(3), range(3)):
        out += kernels[:, row, column, None, None, None] * padded[..., row : row + height, column : column + width]
    return out
