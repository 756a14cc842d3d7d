"""The defender classes, made from the table when they are asked for; ART is imported when one is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from linkbench.adapters.classifier_attack import ClassifierAttack, made_when_asked
from linkbench_art.library import LIBRARY, imported, quiet
from linkbench_art.names import ATTACKS as SUMMARIES
from linkbench_art.table import ATTACKS, SMALL

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.adapters.classifier import CombinationClassifier


SOFTMAX = {"SimBA", "NewtonFool"}
"""Attacks that ask for probabilities instead of logits."""


class ArtAttack(ClassifierAttack):
    """Base of all: wraps the predictors for ART, constructs its attack and lets it generate."""

    libraries: ClassVar[tuple[str, ...]] = (LIBRARY,)
    small: ClassVar[Mapping[str, Any]] = SMALL

    def attack(self, classifier: CombinationClassifier, photos: Tensor, labels: Tensor, seed: int) -> Tensor:
        import torch

        evasion = imported("art.attacks.evasion")
        estimators = imported("art.estimators.classification")
        with quiet():
            estimator = estimators.PyTorchClassifier(
                torch.nn.Sequential(classifier, torch.nn.Softmax(dim=1)) if self.spec.attack in SOFTMAX else classifier,
                loss=torch.nn.CrossEntropyLoss(),
                input_shape=tuple(photos.shape[1:]),
                nb_classes=classifier.classes,
                clip_values=(0.0, 1.0),
                device_type="cpu" if photos.device.type == "cpu" else "gpu",
            )
            arguments = self.arguments(photos)
            if "eps_step" in arguments:
                arguments["eps_step"] = min(arguments["eps_step"], self.radius(photos))
            if self.spec.attack == "FastGradientMethod":
                arguments["eps_step"] = self.radius(photos)
            if "nb_grads" in arguments:
                arguments["nb_grads"] = min(arguments["nb_grads"], classifier.classes)
            if self.spec.attack != "SimBA":
                arguments.setdefault("batch_size", len(photos))
            call = {"y": torch.eye(classifier.classes)[labels.cpu()].numpy()} if self.spec.labelled else {}
            if self.spec.start:
                start = _elsewhere(classifier, photos, labels, arguments["init_size"])
                if start is None:
                    return photos
                call["x_adv_init"] = start.cpu().numpy()
            attack = getattr(evasion, self.spec.attack)(estimator, **arguments)
            changed = attack.generate(x=photos.cpu().numpy(), **call)
        return torch.from_numpy(changed).to(photos)


def _elsewhere(classifier: CombinationClassifier, photo: Tensor, label: Tensor, tries: int) -> Tensor | None:
    """A random photo [1, 3, h, w] of another class, or None: ART would draw one from a generator that nobody seeds."""
    import torch

    with torch.no_grad():
        for _ in range(tries):
            start = torch.rand(photo.shape).to(photo)
            if bool(classifier(start).argmax(dim=1) != label):
                return start
    return None


__getattr__ = made_when_asked(SUMMARIES, ATTACKS, ArtAttack, __name__)
