"""One harness: what a defender needs and does not get is said in one place and in one way, wherever it is at work."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from standins import predictor, random_log_p, random_photos
from torch import Tensor, nn

from linkbench.api.base import Defender
from linkbench.api.knowledge import Knowledge
from linkbench.api.schema import PAPER
from linkbench.errors import PluginError
from linkbench.harness.defend import Defence
from linkbench.harness.knowledge import Known, check_known
from linkbench.registry.registry import registry

WHOLE = Known(
    schema=PAPER,
    seed=3,
    predictor=predictor(),
    log_p=random_log_p(4).numpy(),
    reference=random_log_p(9).numpy(),
    labels=np.zeros((4, len(PAPER)), np.int64),
    identity=np.arange(4) // 2,
    channel=lambda photos: photos,
    redraw=lambda index, variants: np.zeros((len(index), 3, 32, 32), np.uint8),
)
FIELDS = {
    "predictor": "predictor",
    "genome": "log_p",
    "reference": "reference",
    "labels": "labels",
    "redraw": "redraw",
}
WORDS = {
    "predictor": "see a predictor, but knowledge 'white-box' gives it none",
    "genome": "know the true genome",
    "reference": "know a reference population",
    "labels": "know the true variants",
    "redraw": "have photos drawn again",
}


@pytest.mark.parametrize("name", [name for name in sorted(registry().plugins["defender"]) if "/" not in name])
def test_what_a_defender_needs_and_does_not_get_is_named(name: str, tmp_path: Any) -> None:
    cls = registry().load("defender", name)
    plugin: Any = cls.model_validate(cls.trial(tmp_path), strict=False)
    check_known(plugin, WHOLE, "it")
    for need in cls.needs:
        with pytest.raises(PluginError, match=f"poison {name} must {WORDS[need]}"):
            Defence(plugin, WHOLE._replace(**{FIELDS[need]: None}), f"poison {name}")
    nothing = Known(PAPER, 3)
    if not cls.needs:
        check_known(plugin, nothing, "it")


def test_a_need_that_nobody_knows_is_named() -> None:
    class Curious(Defender):
        needs: ClassVar[frozenset[str]] = frozenset({"candidates"})

    with pytest.raises(PluginError, match="it needs 'candidates', which the harness does not know; known: predictor"):
        check_known(Curious(), WHOLE, "it")


class Draws(Defender):
    """Draws from torch's generator, changes networks if it is told to, notes what it was told."""

    needs: ClassVar[frozenset[str]] = frozenset({"predictor", "labels"})
    does: str = ""
    told: ClassVar[list[Knowledge]] = []

    def perturb(self, photos: Tensor, knowledge: Knowledge) -> Tensor:
        self.told.append(knowledge)
        if self.does == "write":
            assert isinstance(knowledge.predictor, nn.Module)
            next(knowledge.predictor.parameters()).data.add_(1e-3)
        return photos + 0.1 * torch.rand_like(photos)


def test_a_batch_has_its_own_seed_and_only_some_people_use_it() -> None:
    photos, index = random_photos(4), np.arange(4)
    state = torch.random.get_rng_state()
    one, two = (Defence(Draws(), WHOLE, "it").perturb(photos, index) for _ in range(2))
    assert torch.equal(one.photos, two.photos)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.equal(Defence(Draws(), WHOLE._replace(seed=4), "it").perturb(photos, index).photos, one.photos)
    keyed = Defence(Draws(), WHOLE, "it").perturb(photos, index, keys=index + 9)
    assert not torch.equal(keyed.photos, one.photos)
    assert Draws.told[-1].keys == (9, 10, 11, 12)
    assert Draws.told[-1].identity == (0, 0, 1, 1)
    assert Draws.told[-1].log_p is None
    some = Defence(Draws(), WHOLE, "it").perturb(photos, index, using=np.array([True, False, True, False]))
    assert torch.equal(some.photos[1::2], photos[1::2])
    assert torch.equal(some.photos[::2], one.photos[::2])
    assert some.excess.tolist() == [float(one.excess[0]), 0.0, float(one.excess[2]), 0.0]


def test_a_network_that_was_changed_voids_the_result() -> None:
    network = predictor()
    with pytest.raises(PluginError, match="poison it changed the weights"):
        Defence(Draws(does="write"), WHOLE._replace(predictor=network), "poison it").perturb(
            random_photos(4), np.arange(4)
        )
