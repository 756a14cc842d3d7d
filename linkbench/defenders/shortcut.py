"""Label-dependent patterns: photos from which a model learns a shortcut instead of the phenotype."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from linkbench.api.base import Defender
from linkbench.api.budget import Budget
from linkbench.api.fields import PhenotypeName, Radius

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from linkbench.api.data import Array
    from linkbench.api.knowledge import Knowledge, StudySet

TOGETHER = 256
"""Photos looked at together by the patterns that are made for the photos."""


class Shortcut(Defender):
    """Add a pattern that depends on the label alone. Peck 2021; Yu, Sandoval-Segura et al. 2022; Wu et al. 2023.

    `mean-shift`, `rademacher`: one pattern per class; `lsp`, `autoregressive`: per class and photo, those of lsp lie
    where the photos differ least; `one-pixel`: one pixel per class, found in the photos. Photos without a
    label stay as they are. The papers bound L2 (lsp, autoregressive) or the number of pixels (one-pixel); here epsilon
    bounds the change of every pixel: lsp uses .9 of it everywhere, autoregressive nearly all of it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    epsilon: Radius = 8 / 255
    norm: Literal["inf", 2] = Field(
        default="inf", description="what epsilon bounds: the change of every pixel, or (2) the length of the change"
    )
    pattern: Literal["mean-shift", "rademacher", "lsp", "one-pixel", "autoregressive"] = Field(
        default="rademacher", description="what is added; one-pixel as in its paper needs epsilon: 1"
    )
    phenotype: PhenotypeName | None = Field(
        default=None, description="the phenotype whose variants are the classes; default: the combination of all"
    )

    @model_validator(mode="after")
    def _possible(self) -> Shortcut:
        if self.norm == "inf" and self.epsilon > 1:
            raise ValueError(f"in the infinity norm epsilon is at most 1, found {self.epsilon:g}; or set norm: 2")
        if self.norm == 2 and self.pattern == "one-pixel":
            raise ValueError("one-pixel has no pattern to scale: found norm 2, leave it out")
        return self

    def budget(self) -> Budget:
        return Budget("linf" if self.norm == "inf" else "l2", self.epsilon)

    def learn(self, study_set: StudySet) -> dict[str, Tensor]:
        """The class patterns. Raises InputError for an unknown phenotype and for fewer than two classes."""
        import numpy as np
        import torch

        from linkbench.api import seeds
        from linkbench.defenders.patterns import autoregressive, lsp, mean_shift, rademacher
        from linkbench.defenders.patterns.keys import class_count, class_numbers, need_two_classes

        assert study_set.labels is not None
        classes = class_count(study_set.schema, self.phenotype)
        numbers = class_numbers(study_set.labels, study_set.schema, self.phenotype)
        need_two_classes(numbers, f"poison shortcut, pattern {self.pattern}")
        if self.pattern == "one-pixel":
            return self._look(study_set, numbers, classes)
        make: dict[str, Callable[[int, int, int], Array]] = {
            "mean-shift": mean_shift.class_patterns,
            "rademacher": rademacher.class_patterns,
            "lsp": partial(lsp.class_patterns, photos=_some(study_set, np.arange(len(study_set)))),
            "autoregressive": autoregressive.class_filters,
        }
        made = make[self.pattern](classes, study_set.size, seeds.derive(study_set.seed, "shortcut"))
        return {"patterns": torch.from_numpy(made).to(study_set.device)}

    def _look(self, study_set: StudySet, numbers: Array, classes: int) -> dict[str, Tensor]:
        import numpy as np
        import torch

        from linkbench.defenders.patterns import one_pixel

        present = np.bincount(numbers[numbers >= 0], minlength=classes) > 0
        chosen = one_pixel.choose(classes, lambda number: _some(study_set, np.flatnonzero(numbers == number)), present)
        mask, colour = one_pixel.as_patterns(chosen, study_set.size)
        return {
            "mask": torch.from_numpy(mask).to(study_set.device),
            "colour": torch.from_numpy(colour).to(study_set.device),
        }

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        from linkbench.defenders.patterns.keys import change_classes

        return change_classes(photos, knowledge, self.phenotype, self._changed)

    def _changed(self, photos: Tensor, numbers: Tensor, knowledge: Knowledge) -> Tensor:
        """Photos of known classes, with what is added to them; may leave [0, 1]."""
        from linkbench.defenders.patterns import autoregressive, lsp

        learned: dict[str, Tensor] = knowledge.learned
        learned = {name: value.to(photos)[numbers] for name, value in learned.items()}
        if self.pattern == "one-pixel":
            toward = (learned["colour"] - photos).clamp_(-self.epsilon, self.epsilon)
            return photos + toward.mul_(learned["mask"])
        pattern = learned["patterns"]
        size = photos.shape[-1]
        if self.pattern == "lsp":
            pattern = lsp.sample(pattern, knowledge.uniform("shortcut", (3, lsp.GRID, lsp.GRID), photos))
        elif self.pattern == "autoregressive":
            start = knowledge.uniform("shortcut", (3, autoregressive.start_numbers(size)), photos)
            pattern = autoregressive.cut(autoregressive.sample(pattern, start, size))
        return photos + pattern.mul(self._step(pattern[0].numel()))

    def _step(self, dimensions: int) -> float:
        """alpha, the largest change of one pixel."""
        from linkbench.defenders import theorem

        return theorem.step(self.epsilon, dimensions, math.inf if self.norm == "inf" else 2.0)

    def proves(self) -> bool:
        """The mean shift has Theorem 1 of Peck 2021, random signs its repair; see docs/theorem1.md."""
        return self.pattern in ("mean-shift", "rademacher")

    def keyed_by(self) -> str | None:
        return self.phenotype

    def bound(self, dimensions: int, classes: int) -> float | None:
        """1 - exp(-epsilon^2 d^(1 - 2/p) / 2) for two classes; for more only random signs have one."""
        from linkbench.defenders import theorem

        alpha = self._step(dimensions)
        if classes == 2:
            return theorem.bound(alpha, dimensions, math.inf)
        return theorem.several_bound(alpha, dimensions, classes) if self.pattern == "rademacher" else None

    def rule(self, photos: Array, learned: dict[str, Tensor], centre: Array) -> Array:
        """argmax_c <w_c, x - centre>; with two classes sgn <w, x - centre>."""
        from linkbench.defenders import theorem

        patterns = learned["patterns"].cpu().numpy()
        return theorem.several_rule(photos, patterns.reshape(len(patterns), -1), centre)


def _some(study_set: StudySet, index: Array) -> Iterator[Tensor]:
    """The photos of these numbers, TOGETHER at a time."""
    for start in range(0, len(index), TOGETHER):
        yield study_set.pixels(index[start : start + TOGETHER])
