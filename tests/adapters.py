"""What the adapters of other attack libraries have in common in their tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from standins import knowledge, predictor, random_photos
from torch import Tensor

from linkbench.adapters.classifier import CombinationClassifier
from linkbench.adapters.classifier_attack import AttackSpec
from linkbench.api.schema import Schema
from linkbench.registry.registry import registry

SCHEMA = Schema({"sex": ("female", "male"), "eye": ("blue", "intermediate", "brown")})
BUDGET = 0.2
NETWORK = predictor(1, SCHEMA, smooth=True)
PHOTOS = random_photos(2, 16)
KNOWN = knowledge(2, NETWORK, SCHEMA)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks on busy cores: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Adapter(NamedTuple):
    """prefix: of the plugins' names; attacks: its table; small, special: parameters of all, and of one, for a test."""

    prefix: str
    attacks: Mapping[str, AttackSpec]
    small: Mapping[str, Any]
    special: Mapping[str, Mapping[str, Any]]

    def made(self, name: str, **parameters: Any) -> Any:
        """The defender, with few steps and the budget of these tests."""
        cls = registry().imported("defender", f"{self.prefix}/{name}")
        small = {**self.small, **self.special.get(name, {})}
        budget = {"rms": BUDGET} if self.attacks[name].norm == "l2" else {"epsilon": BUDGET}
        return cls(**{**{key: small[key] for key in small if key in cls.model_fields}, **budget, **parameters})

    def confidence(self, defender: Any, photos: Tensor) -> Tensor:
        """Log-probability of what the attack moves away from."""
        classifier = CombinationClassifier(NETWORK, SCHEMA, defender.phenotype)
        truth = KNOWN.labels if getattr(defender, "label", "predicted") == "true" else None
        labels = classifier.labels(PHOTOS, truth)
        return classifier(photos).log_softmax(dim=1).gather(1, labels[:, None])[:, 0]

    def keeps_the_contract(self, name: str) -> None:
        """Photos of the same form within the budget, away from their class; nothing else is touched."""
        defender = self.made(name)
        before, weights = PHOTOS.clone(), {key: value.clone() for key, value in NETWORK.state_dict().items()}
        out = defender.perturb(PHOTOS, KNOWN)
        assert out.shape == PHOTOS.shape
        assert out.dtype == PHOTOS.dtype
        assert not out.requires_grad
        assert out.min() >= 0
        assert out.max() <= 1
        change = out - PHOTOS
        if self.attacks[name].norm == "l2":
            assert change.square().mean(dim=(1, 2, 3)).sqrt().max() <= BUDGET + 1e-5
        else:
            assert change.abs().max() <= BUDGET + 1e-6
        if self.attacks[name].labelled:
            assert self.confidence(defender, out).mean() < self.confidence(defender, PHOTOS).mean()
        else:
            assert (self.confidence(defender, out) - self.confidence(defender, PHOTOS)).abs().max() > 0.01
        assert torch.equal(PHOTOS, before), "the input was written to"
        assert all(torch.equal(value, weights[key]) for key, value in NETWORK.state_dict().items())
        assert not any(module.training for module in NETWORK.modules())
