"""Training on what a known defender puts out: the attacker's answer to any published tool."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from linkbench.api.fields import DefenderUse, Fraction01, nested
from linkbench.api.base import Defender
from linkbench.recipes.standard import Standard
from linkbench.registry.spec import nested_plugin

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.training_data import Lesson
    from linkbench.api.training_data import Classroom, Report


class Adaptive(Standard):
    """Train on protected photos (Radiya-Dixit & Tramer 2021), protected once, by the very tool, a poison included.

    The attacker runs the tool on photos of his own people with random numbers of his own: what it learns from photos
    it learns from those. A photo that reached him poisoned is protected once more; he cannot tell it from others.
    Where the defender must see a predictor it sees the model named by `start:`; without one, the network is first
    trained on clean photos and the defender sees that. The network then goes on from there; it is stopped by the
    protected photos of the validation people.
    """

    defender: DefenderUse = nested("defender", "joint-pgd", "the tool that protects the training photos")
    clean: Fraction01 = Field(
        0.0, description="part of the training photos that is learned from as it was, too, beside its protected copy"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"defender": {"use": "joint-pgd", "steps": 1}, "epochs": 1}

    def train(self, network: nn.Module, classroom: Classroom) -> Report:
        import dataclasses

        from linkbench.api.training_data import Report
        from linkbench.models.training import fit

        defender: Defender = nested_plugin(self.defender, "defender")
        before = Report()
        if not classroom.started and "predictor" in defender.needs:
            plain = Standard(**self.model_dump(include=set(Standard.model_fields)))
            before = plain.train(network, classroom)
        learned = classroom.learn(defender, network, "adaptive")
        with TemporaryDirectory(prefix="linkbench-") as folder:
            training, validation = (
                self._protected(classroom, lesson, network, defender, learned, Path(folder, name))
                for lesson, name in ((classroom.training, "training"), (classroom.validation, "held"))
            )
            protected = dataclasses.replace(classroom, training=training, validation=validation)
            report = fit(network, protected, self.plan("adaptive"))
            del protected, training, validation  # maps must be closed before the folder goes
        return before.followed_by(report)

    def _protected(
        self, classroom: Classroom, lesson: Lesson, network: nn.Module, defender: Defender, learned: Any, file: Path
    ) -> Lesson:
        """The lesson with protected photos, and when it is for training the clean ones besides, on disk as float32."""
        import dataclasses

        from linkbench.api import seeds
        from linkbench.models.predictor import batch_size
        from linkbench.api.training_data import Photos

        if not len(lesson):
            return lesson
        also = np.arange(0)
        if lesson is classroom.training:
            order = seeds.generator(classroom.seed, "adaptive", "clean").permutation(len(lesson))
            also = np.sort(order[: round(self.clean * len(lesson))])
        every = np.concatenate([np.arange(len(lesson)), also])
        edge = lesson.photos.size
        out = np.memmap(file, np.float32, "w+", shape=(len(every), 3, edge, edge))
        step = max(1, batch_size(edge, classroom.device) // 4)
        for start in range(0, len(every), step):
            index = every[start : start + step]
            photos = lesson.photos.batch(index)
            protected = max(0, min(step, len(lesson) - start))
            if protected:
                photos[:protected] = classroom.defend(
                    defender,
                    photos[:protected].to(classroom.device),
                    index[:protected],
                    network,
                    f"adaptive {file.name}",
                    lesson=lesson,
                    learned=learned,
                ).cpu()
            out[start : start + len(index)] = photos.numpy()
        return dataclasses.replace(
            lesson,
            photos=Photos(out),
            labels=lesson.labels[every],
            log_p=lesson.log_p[every],
            identity=lesson.identity[every],
        )
