"""Training on photos that have just been made hard for the network: the paper's robust models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from linkbench.api.base import Defender, Recipe
from linkbench.api.fields import Count, DefenderSpec, Epsilon, Fraction01, nested
from linkbench.recipes.standard import Rate, Standard, Strength
from linkbench.registry.spec import nested_plugin

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linkbench.api.training_data import Report, TrainingData
    from linkbench.models.training import Batch


class Adversarial(Recipe):
    """Adversarial training (Madry et al. 2018) as in Venkatesaramani et al. 2021: each training photo comes several
    times a pass, each time attacked anew, from a random start, with the network as it is at that moment.

    The defender attacks the network in training, whatever its own `knowledge` says; its epsilon is the recipe's, and
    it starts at random if it can. Training starts from the model named by `start:`; without one, the network is first
    trained by the standard recipe. The last weights are kept: clean photos cannot tell when a robust network is best.
    """

    defender: DefenderSpec = nested("defender", "joint-pgd", "who attacks the network in training")
    epsilon: Epsilon = 0.01
    passes: Count = Field(5, description="passes over all copies of the training photos")
    copies: Count = Field(5, description="how often each photo comes in a pass, each time attacked from another start")
    mix: Fraction01 = Field(0.0, description="part of each batch that stays clean")
    learning_rate: Rate | None = Field(
        None, description="highest of the one-cycle schedule; null: a quarter of the standard one; the paper's: 1e-5"
    )
    each_phenotype: bool = Field(
        False, description="attack and train one phenotype at a time, for defenders with a parameter 'phenotype'"
    )
    batch: Count | None = Field(None, description="photos per step; null: a tenth of all, within 16 to 32 (CUDA: 256)")
    weight_decay: float = Field(0.05, ge=0, le=10, description="of AdamW")
    balance: Fraction01 = Field(1.0, description="0: variants count as often as they are; 1: all variants the same")
    augment: Strength = Field(1.0, description="strength of flips, shifts, zoom and light before the attack; 0: none")

    @classmethod
    def trial(cls, folder: Path) -> dict[str, Any]:
        return {"defender": {"use": "joint-pgd", "steps": 1}, "passes": 1, "copies": 1}

    def attacks(self, data: TrainingData) -> list[Defender]:
        """The defender with this recipe's budget, once, or once for each phenotype."""
        plugin: Defender = nested_plugin(self.defender, "defender")
        fields = type(plugin).model_fields
        update: dict[str, Any] = {"epsilon": self.epsilon, "random_start": True}
        plugin = plugin.model_copy(update={name: value for name, value in update.items() if name in fields})
        if not self.each_phenotype:
            return [plugin]
        return [plugin.model_copy(update={"phenotype": phenotype}) for phenotype in data.schema]

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        from linkbench.api.training_data import Report
        from linkbench.errors import InputError
        from linkbench.harness.defend import defend, learn
        from linkbench.models.training import Schedule, fit, suited_rate

        attacks = self.attacks(data)
        if self.each_phenotype and "phenotype" not in type(attacks[0]).model_fields:
            raise InputError(
                f"each_phenotype needs a defender with a parameter 'phenotype', such as single-pgd; "
                f"{self.defender['use']!r} has none"
            )
        before = Report()
        if not data.started:
            before = Standard(balance=self.balance, augment=self.augment).train(network, data)

        learned = [learn(data, attack, network, "adversarial") for attack in attacks]

        def attacked(photos: Tensor, batch: Batch) -> Tensor | list[Tensor]:
            # the order of a batch is random, so its first photos are a random part of it
            clean = round(self.mix * len(photos))
            out = []
            for number, attack in enumerate(attacks):
                changed = photos.clone()
                if clean < len(photos):
                    changed[clean:] = defend(
                        data,
                        attack,
                        photos[clean:],
                        batch.rows[clean:],
                        network,
                        f"adversarial {batch.epoch} {number}",
                        keys=batch.keys[clean:],
                        learned=learned[number],
                    )
                out.append(changed)
            return out if self.each_phenotype else out[0]

        plan = Schedule(
            epochs=self.passes,
            copies=self.copies,
            phase="adversarial",
            learning_rate=self.learning_rate or suited_rate(network) / 4,
            **self.model_dump(include={"batch", "weight_decay", "balance", "augment"}),
        )
        return before.followed_by(fit(network, data, plan, attacked))
