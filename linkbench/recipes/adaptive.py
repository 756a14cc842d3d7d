"""Training on what a known defender puts out: the attacker's answer to any published tool."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from linkbench.api.base import Defender
from linkbench.api.fields import Fraction01, MaybeDefenders, MetDefender, nested
from linkbench.recipes.standard import Standard
from linkbench.registry.spec import known_tool, nested_plugin

if TYPE_CHECKING:
    from torch import nn

    from linkbench.api.data import Array
    from linkbench.api.training_data import Report, TrainingData


class Adaptive(Standard):
    """Train on protected photos (Radiya-Dixit & Tramer 2021), protected once, by the very tool, a poison included.

    With several `tools`, or `to: all`, each of them protects all the photos, and one network learns from all of that.
    The attacker runs the tool on photos of his own people with random numbers of his own: what it learns from photos
    it learns from those. A photo that reached him poisoned is protected once more; he cannot tell it from others.
    Where the defender must see a predictor it sees the model named by `start:`; without one, the network is first
    trained on clean photos and the defender sees that. The network then goes on from there; it is stopped by the
    protected photos of the validation people.
    """

    adapts: ClassVar[bool] = True

    defender: MetDefender = nested(
        "defender",
        None,
        "the tool that protects the training photos; null: each that the model meets, one network each",
    )
    tools: MaybeDefenders = nested("defender", [], "several tools instead, each of which protects all training photos")
    to: Literal["named", "all"] = Field(
        "named", description="all: `tools` are all defenders of the scenario but 'none', at every budget"
    )
    clean: Fraction01 = Field(
        0.0, description="part of the training photos that is learned from as it was, too, beside its protected copy"
    )

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"defender": {"use": "joint-pgd", "steps": 1}, "epochs": 1}

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        import dataclasses

        from linkbench.api.training_data import Report
        from linkbench.harness.defend import learn
        from linkbench.harness.protected_examples import Tool, protected_examples
        from linkbench.models.training import fit

        defenders = self._defenders()
        before = Report()
        if not data.started and any("predictor" in defender.needs for defender in defenders):
            plain = Standard(**self.model_dump(include=set(Standard.model_fields)))
            before = plain.train(network, data)
        tools = [Tool(defender, learn(data, defender, network, "adaptive")) for defender in defenders]
        with TemporaryDirectory(prefix="linkbench-") as folder:
            seen = (network, tools)
            training = protected_examples(
                data, data.training, *seen, Path(folder, "training"), "adaptive training", also=self._clean(data)
            )
            validation = protected_examples(data, data.validation, *seen, Path(folder, "held"), "adaptive held")
            protected = dataclasses.replace(data, training=training, validation=validation)
            report = fit(network, protected, self.plan("adaptive"))
            del protected, training, validation  # maps must be closed before the folder goes
        return before.followed_by(report)

    def _defenders(self) -> list[Defender]:
        """Raises InputError where the recipe does not say whom it adapts to."""
        from linkbench.errors import InputError

        if self.to == "all" and not self.tools:
            raise InputError("adaptive: 'to: all' means the defenders of a scenario, and there is none; name 'tools'")
        if not self.tools:
            return [nested_plugin(known_tool(self.defender, "adaptive"), "defender")]
        return [nested_plugin(each, "defender") for each in self.tools]

    def _clean(self, data: TrainingData) -> Array:
        """int64 [m], the training photos that are learned from as they are, too."""
        from linkbench.api import seeds

        order = seeds.generator(data.seed, "adaptive", "clean").permutation(len(data.training))
        return np.sort(order[: round(self.clean * len(data.training))])
