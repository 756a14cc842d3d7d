"""ART's adversarial training as a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from linkbench import Epsilon, Fraction01, Recipe
from linkbench_art.library import LIBRARY, imported, quiet

if TYPE_CHECKING:
    from torch import nn

    from linkbench import Report, TrainingData

Count = Annotated[int, Field(ge=1, le=1_000_000)]


class AdversarialTrainer(Recipe):
    """ART's `AdversarialTrainer` with its projected gradient attack (Madry et al. 2018).

    A part of each batch is attacked with the network as it is. The class to be learned is the combination of all
    variants, whose logit is the sum of their log-probabilities, so that the loss is the sum of the phenotypes' losses.
    Photos with an unknown label are left out; the last weights are kept.
    """

    libraries: ClassVar[tuple[str, ...]] = (LIBRARY,)

    epsilon: Epsilon = 0.01
    steps: Count = Field(7, description="gradient steps of the attack")
    ratio: Fraction01 = Field(1.0, description="part of each batch that is attacked")
    epochs: Count = Field(10, description="passes over the training photos")
    learning_rate: Annotated[float, Field(gt=0, le=1, description="of Adam")] = 0.001
    batch: Count = Field(32, description="photos per step")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"steps": 2, "epochs": 2, "batch": 8}

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        """Raises InputError where no training photo has all its labels."""
        import contextlib
        import io

        import numpy as np
        import torch

        from linkbench import MISSING, InputError, Report
        from linkbench.adapters.classifier import CombinationClassifier
        from linkbench.adapters.classifier_attack import library_seeds
        from linkbench.api import seeds
        from linkbench.api.progress import advance
        from linkbench.models.losses import Losses
        from linkbench.models.predictor import Predictor
        from linkbench.models.training import examine

        examples, device = data.training, torch.device(data.device)
        index = np.flatnonzero((examples.labels != MISSING).all(axis=1))
        if not len(index):
            raise InputError(
                "art/adversarial-trainer needs training photos with a label for every phenotype, there are none"
            )
        classifier = CombinationClassifier(Predictor(network, data.schema), data.schema)
        classifier.add_module("network", network)  # so that ART reaches it to change its mode
        photos = examples.photos.batch(index).numpy()
        classes = classifier.combine(torch.from_numpy(examples.labels[index]))
        wanted = torch.eye(classifier.classes)[classes].numpy()
        losses = Losses(data.schema, examples.labels, 1.0, data.device)
        report = Report()
        with quiet(), library_seeds(seeds.derive(data.seed, "art"), device):
            estimator = imported("art.estimators.classification").PyTorchClassifier(
                classifier,
                loss=torch.nn.CrossEntropyLoss(),
                optimizer=torch.optim.Adam(network.parameters(), lr=self.learning_rate),
                input_shape=photos.shape[1:],
                nb_classes=classifier.classes,
                clip_values=(0.0, 1.0),
                device_type="cpu" if device.type == "cpu" else "gpu",
            )
            attack = imported("art.attacks.evasion").ProjectedGradientDescent(
                estimator,
                norm="inf",
                eps=self.epsilon,
                eps_step=min(self.epsilon, 2.5 * self.epsilon / self.steps) or 1e-9,
                max_iter=self.steps,
                num_random_init=1,
                batch_size=self.batch,
                verbose=False,
            )
            trainer = imported("art.defences.trainer").AdversarialTrainer(estimator, attack, ratio=self.ratio)
            for epoch in range(self.epochs):
                with contextlib.redirect_stderr(io.StringIO()):  # bars that nobody asked for
                    trainer.fit(photos, wanted, batch_size=self.batch, nb_epochs=1)
                loss = sum(score.loss or 0.0 for score in examine(network, examples, losses, data.device))
                scores = examine(network, data.validation, losses, data.device)
                advance(epoch + 1, self.epochs)
                named = dict(zip(data.schema, (score._asdict() for score in scores), strict=True))
                report.history.append({"phase": "art", "epoch": epoch, "loss": loss, "validation": named})
        report.best = dict.fromkeys(data.schema, self.epochs - 1)
        return report
