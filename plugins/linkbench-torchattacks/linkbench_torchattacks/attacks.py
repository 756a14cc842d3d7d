"""The defender classes, made from the table when they are asked for; torchattacks is imported when one is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from linkbench import MissingLibraryError, PluginError
from linkbench.adapters.classifier_attack import ClassifierAttack, made_when_asked
from linkbench_torchattacks.names import ATTACKS as SUMMARIES
from linkbench_torchattacks.table import ATTACKS, SMALL

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.adapters.classifier import CombinationClassifier

INSTALL = "pip install --no-deps torchattacks==3.5.1"


class Torchattack(ClassifierAttack):
    """Base of all: constructs the attack of torchattacks and calls it."""

    libraries: ClassVar[tuple[str, ...]] = ("torchattacks",)
    small: ClassVar[Mapping[str, Any]] = SMALL

    def attack(self, classifier: CombinationClassifier, photos: Tensor, labels: Tensor, seed: int) -> Tensor:
        try:
            import torchattacks
        except ModuleNotFoundError as error:
            if error.name != "torchattacks":
                raise
            raise MissingLibraryError("torchattacks", INSTALL) from error
        least = max(self.spec.classes, 3 if getattr(self, "loss", None) == "dlr" else 2)
        if classifier.classes < least:
            raise PluginError(
                f"{self.spec.attack} compares {least} classes or more, phenotype {self.phenotype!r} has "
                f"{classifier.classes} variants; attack the combination (leave 'phenotype' out) or use another attack"
            )
        arguments = self.arguments(photos)
        targets = arguments.pop("targets", None)
        if targets is not None:
            arguments["n_classes"] = min(targets + 1, classifier.classes)
        if self.spec.seeded:
            arguments["seed"] = seed
        # some of its attacks cannot read photos whose channels lie side by side in memory
        out: Tensor = getattr(torchattacks, self.spec.attack)(classifier, **arguments)(photos.contiguous(), labels)
        return out


__getattr__ = made_when_asked(SUMMARIES, ATTACKS, Torchattack, __name__)
