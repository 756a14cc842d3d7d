"""best-of: candidates are what they would be alone, clean validation photos decide, and the report says so."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from coloured import TOY, cohort, data, task
from torch import nn

from linkbench.api.base import Recipe
from linkbench.api.data import MISSING, TRAIN, VALIDATION, Artefact
from linkbench.api.training_data import Report, TrainingData
from linkbench.errors import InputError
from linkbench.models.losses import Score
from linkbench.models.predictor import WEIGHTS
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.recipes.best_of import BestOf
from linkbench.registry.announced import Registration
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec
from linkbench.stages.train import train

SMALL = {"use": "small-cnn", "width": 4, "depth": 3}
QUICK: dict[str, Any] = {"use": "standard", "epochs": 4, "learning_rate": 0.01}
HASTY: dict[str, Any] = {**QUICK, "epochs": 1, "learning_rate": 1e-6}


class Fixed(Recipe):
    """Writes one number into all weights, so that the network is as good as chance."""

    value: float = 0.0

    def train(self, network: nn.Module, data: TrainingData) -> Report:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(self.value)
        return Report(best={"side": 0})


@pytest.fixture(autouse=True)
def _toy_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Registration("recipe", "fixed", f"{__name__}:Fixed", "", "linkbench", "0")
    monkeypatch.setitem(registry().plugins["recipe"], "fixed", entry)


def network(seed: int = 0) -> nn.Module:
    with seeded("cpu", seed):
        return SmallCNN(width=4, depth=3, dropout=0.0).build(TOY, 32)


@pytest.mark.slow
def test_the_winner_is_what_it_would_be_alone() -> None:
    people, genomes = cohort(64)
    choice = {"use": "best-of", "recipes": [HASTY, {"use": "grayscale", "recipe": HASTY}, QUICK]}
    chosen = train(task(SMALL, choice, cohort=people, genomes=genomes))
    alone = train(task(SMALL, QUICK, cohort=people, genomes=genomes))
    said = chosen.meta["report"]["candidates"]
    assert [one["chosen"] for one in said] == [False, False, True]
    assert said[2]["score"] == max(one["score"] for one in said) > said[0]["score"]
    for name in alone.arrays:
        if name.startswith(WEIGHTS):
            assert np.array_equal(chosen.array(name), alone.array(name)), name
    assert chosen.meta["report"]["history"] == alone.meta["report"]["history"], "the winner's curves"
    np.testing.assert_array_equal(chosen.array("watched"), alone.array("watched"))


def test_a_filter_can_win_and_is_kept() -> None:
    """Noise in colour that grayscale takes away decides between two recipes that are otherwise the same."""
    people, genomes = cohort(96)
    shown = people.array("photos").copy()
    truth = people.array("labels")
    kept = people.array("split") == TRAIN
    # training photos say in colour what is not so elsewhere: red against cyan, as bright as before
    push = np.array([60.0, -30.5, 0.0])[None, :, None, None] * np.where(truth[kept, 0] == 1, 1, -1)[:, None, None, None]
    shown[kept] = (shown[kept] + push).clip(0, 255).astype(np.uint8)
    poisoned = Artefact({**people.arrays, "photos": shown}, people.meta)
    longer = {**QUICK, "epochs": 6, "augment": 0, "patience": None}
    choice = {"use": "best-of", "recipes": [longer, {"use": "grayscale", "recipe": longer}], "phenotype": "side"}
    out = train(task(SMALL, choice, cohort=poisoned, genomes=genomes))
    said = {one["recipe"]: one for one in out.meta["report"]["candidates"]}
    assert said["grayscale"]["chosen"], said
    assert [entry["recipe"] for entry in out.meta["filters"]] == ["grayscale"]


def test_clean_validation_photos_decide_and_poison_does_not_reach_them() -> None:
    people, genomes = cohort(32)
    rows = np.flatnonzero(people.array("split") == TRAIN)
    dark = Artefact({"photo": rows, "photos": np.zeros((len(rows), 3, 32, 32), np.uint8)}, {})
    seen: list[TrainingData] = []

    class Look(Recipe):
        def train(self, network: nn.Module, data: TrainingData) -> Report:
            seen.append(data)
            return Report()

    given = task(SMALL, "standard", cohort=people, genomes=genomes, poisoned=dark)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(given.specs["recipe"]), "plugin",
                      lambda spec: Look() if spec.kind == "recipe" else SmallCNN(width=4, depth=3))  # fmt: skip
        train(given)
    held = np.flatnonzero(people.array("split") == VALIDATION)
    assert float(seen[0].training.photos.batch(np.arange(4)).max()) == 0
    clean = people.array("photos")[held].astype(np.float32) / 255
    np.testing.assert_array_equal(seen[0].validation.photos.batch(np.arange(len(held))).numpy(), clean)


def test_photos_protected_by_the_tool_decide_where_one_is_named() -> None:
    """The trained network wins on clean photos; on photos made to fool it, one that knows nothing does."""
    room = dataclasses.replace(data(32, 16), started=True)
    start = network()
    BestOf(recipes=[QUICK]).train(start, room)
    choice = [{"use": "fixed"}, "pretrained"]
    against = {"use": "single-pgd", "phenotype": "tint", "steps": 3, "epsilon": 0.3}
    for tool, expected in (("none", "pretrained"), ({"use": "noise", "epsilon": 0}, "pretrained"), (against, "fixed")):
        best = copy.deepcopy(start)
        report = BestOf(recipes=choice, defender=tool, phenotype="tint").train(best, room)
        assert [one["recipe"] for one in report.candidates if one["chosen"]] == [expected], (tool, report.candidates)
    with pytest.raises(InputError, match="'single-pgd' must see a trained network .* give the model a 'start'"):
        BestOf(recipes=choice, defender=against).train(start, dataclasses.replace(room, started=False))


def test_ties_go_to_the_first_and_one_phenotype_may_decide() -> None:
    room = data(16, 8)
    values = [{"use": "fixed"}, {"use": "fixed", "value": 1e-9}]
    report = BestOf(recipes=values).train(network(), room)
    assert [one["chosen"] for one in report.candidates] == [True, False]
    assert [one["recipe"] for one in report.candidates] == ["fixed(value=0)", "fixed(value=1e-09)"]
    scores = {"side": Score(1.0, 0.9, 0.8), "tint": Score(1.0, 0.5, 0.4), "none": Score(None, None, None)}
    assert BestOf().score(scores) == pytest.approx(0.6)
    assert BestOf(phenotype="tint").score(scores) == 0.4


def test_all_candidates_start_from_the_same_weights() -> None:
    room = data(16, 8)
    one, other = network(), network()
    BestOf(recipes=[{"use": "fixed", "value": 3.0}, QUICK]).train(one, room)
    with seeded("cpu", 0):
        BestOf(recipes=[QUICK]).train(other, room)
    assert all(torch.equal(left, right) for left, right in zip(one.parameters(), other.parameters(), strict=True))


def test_without_validation_photos_it_refuses() -> None:
    room = data(16, 8)
    nobody = dataclasses.replace(room, validation=dataclasses.replace(room.validation, labels=np.zeros((0, 2), int)))
    with pytest.raises(InputError, match=r"best-of .* has no photos; give split.validation more people"):
        BestOf(recipes=[QUICK]).train(network(), nobody)
    blank = dataclasses.replace(room.validation, labels=np.where([[True, False]], MISSING, room.validation.labels))
    with pytest.raises(InputError, match="no labels for side"):
        BestOf(recipes=[QUICK], phenotype="side").train(network(), dataclasses.replace(room, validation=blank))
    BestOf(recipes=[HASTY]).train(network(), dataclasses.replace(room, validation=blank))
    with pytest.raises(InputError, match="no phenotype 'hair'; there are: side, tint"):
        BestOf(recipes=[QUICK], phenotype="hair").train(network(), room)


def test_the_default_tries_every_countermeasure() -> None:
    specs, wrong = parse_spec("recipe", "best-of", ())
    assert not wrong
    from linkbench.api.countermeasure import Countermeasure

    registered = registry().plugins["recipe"]
    classes = {name: registry().load("recipe", name) for name in registered}
    filters = {name for name, cls in classes.items() if issubclass(cls, Countermeasure)}
    assert classes["channel"].model_fields["channels"].is_required()  # nothing to try before somebody names one
    # nets trained for known tools or to enlarge, filters against no change or for test time, votes that certify
    filters -= {"channel", "purify", "super-resolution", "even-light", "averaged", "inpaint", "smoothed"}
    assert set(specs[0].plugin().names()) == filters | {"standard", "adversarial"}
