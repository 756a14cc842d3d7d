"""What a linear model needs, and nothing that it knows: photos that make networks behave like linear models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Count, Epsilon, Fraction01, PhenotypeName

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.api.knowledge import Knowledge, StudySet


class PIL(Defender):
    """Perturbation-induced linearisation: noise made with one linear model without a bias. Liu, Chen & Zhang 2026.

    With the linear model f of clean photos, the noise d of every photo lowers
    share CE(f(d), label) + (1 - share) KL(uniform || f(x - d)), and x - d is published: the noise tells the label, the
    photo less of it tells nothing. Photos without a label stay as they are.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    epsilon: Epsilon = 8 / 255
    phenotype: PhenotypeName | None = Field(default=None, description="whose labels are poisoned; null: all at once")
    steps: Annotated[Count, Field(description="signed steps of the noise, each a tenth of epsilon")] = 30
    share: Fraction01 = Field(default=0.9, description="what telling the label weighs against hiding the photo")
    epochs: Annotated[Count, Field(description="passes of the linear model over the photos")] = 30

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 3, "epochs": 2}

    def learn(self, study_set: StudySet) -> dict[str, Tensor]:
        """weights: float32 [V, 3 h w]. Raises InputError for an unknown phenotype and for fewer than two classes."""
        from linkbench.defenders.patterns.keys import class_count, class_numbers, need_two_classes
        from linkbench.models.linear import linear_model

        assert study_set.labels is not None
        class_count(study_set.schema, self.phenotype)
        need_two_classes(class_numbers(study_set.labels, study_set.schema, self.phenotype), "poison pil")
        weights = linear_model(
            study_set.pixels, study_set.labels, study_set.schema, device=study_set.device, seed=study_set.seed,
            epochs=self.epochs, through_zero=True,
        )  # fmt: skip
        return {"weights": weights.float().to(study_set.device)}

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        import torch

        from linkbench.errors import PluginError

        if knowledge.learned is None:
            raise PluginError("pil fits a linear model to photos that it has studied, but was given none")
        weights = knowledge.learned["weights"].to(photos)
        noise = self.epsilon * knowledge.uniform("pil", tuple(photos.shape[1:]), photos)
        for _ in range(self.steps):
            with torch.enable_grad():
                noise.requires_grad_(True)
                loss = self._loss(photos, noise, weights, knowledge)
                (gradient,) = torch.autograd.grad(loss, noise)
            noise = (noise.detach() - self.epsilon / 10 * gradient.sign()).clamp_(-self.epsilon, self.epsilon)
        assert knowledge.labels is not None
        told = (knowledge.labels[:, self._positions(knowledge)] >= 0).any(dim=1).to(photos.device)
        return (photos - noise * told[:, None, None, None]).clamp_(0, 1)

    def _positions(self, knowledge: Knowledge) -> list[int]:
        names = knowledge.schema.names
        return list(range(len(names))) if self.phenotype is None else [names.index(self.phenotype)]

    def _loss(self, photos: Tensor, noise: Tensor, weights: Tensor, knowledge: Knowledge) -> Tensor:
        """Summed over photos and phenotypes; an unknown label adds nothing."""
        import math

        import torch

        assert knowledge.labels is not None
        spans = list(knowledge.schema.slices.values())
        of_noise, of_rest = noise.flatten(1) @ weights.T, (photos - noise).flatten(1) @ weights.T
        total = torch.zeros((), device=photos.device, dtype=photos.dtype)
        for position in self._positions(knowledge):
            span, label = spans[position], knowledge.labels[:, position].to(photos.device)
            count = span.stop - span.start
            tells = -of_noise[:, span].log_softmax(dim=1).gather(1, label.clamp(min=0)[:, None])[:, 0]
            hides = -of_rest[:, span].log_softmax(dim=1).mean(dim=1) - math.log(count)
            total = total + ((self.share * tells + (1 - self.share) * hides) * (label >= 0)).sum()
        return total
