"""The adaptive attacker runs every built-in tool on his own photos, whatever it needs and learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coloured import cohort, data, task

from linkbench.api.knowledge import StudySet
from linkbench.api.seeds import derive
from linkbench.api.training_data import Report
from linkbench.defenders.fawkes import Fawkes
from linkbench.errors import InputError
from linkbench.recipes.adaptive import Adaptive
from linkbench.recipes.standard import Standard
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec
from linkbench.stages.train import train

QUICK: dict[str, Any] = {
    "defenders": ["recolour", {"use": "blend", "weight": 0.3}],
    "steps": 1, "iterations": 1, "rounds": 1, "train_steps": 1, "candidates": 3, "random_start": True,
    "phenotype": "side",
}  # fmt: skip
"""Parameters that make a defender fast, where it has them."""


def built_in() -> list[str]:
    """Without those who have photos drawn again, which this cohort cannot do: see test_redraw."""
    found = registry().plugins["defender"]
    own = [name for name, entry in found.items() if entry.distribution == "linkbench"]
    return [name for name in own if "redraw" not in registry().load("defender", name).needs]


def quick(name: str) -> dict[str, Any]:
    fields = registry().load("defender", name).model_fields
    return {"use": name, **{key: value for key, value in QUICK.items() if key in fields}}


@pytest.mark.slow
@pytest.mark.parametrize("name", built_in())
def test_every_tool_can_be_met(name: str) -> None:
    people, genomes = cohort(32)
    recipe = {"use": "adaptive", "defender": quick(name), "epochs": 1, "clean": 0.5, "learning_rate": 0.01}
    out = train(task({"use": "small-cnn", "width": 4, "depth": 3}, recipe, cohort=people, genomes=genomes))
    assert [row["phase"] for row in out.meta["report"]["history"]][-1] == "adaptive"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unlearnable", "fawkes", "targeted-poison", "lowkey"])
@pytest.mark.parametrize("front", ["jpeg", "orthogonal-projection"])
def test_tools_that_see_the_predictor_see_its_filter(name: str, front: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter stands between photo and network wherever a tool looks, also before the network is trained."""
    seen: list[tuple[Any, Any]] = []
    cls = registry().load("recipe", front)
    original = cls.see
    monkeypatch.setattr(cls, "see", lambda plugin, photos, learned: seen.append((photos, photos.requires_grad))
                        or original(plugin, photos, learned))  # fmt: skip
    people, genomes = cohort(24)
    inner = {"use": "adaptive", "defender": quick(name), "epochs": 1}
    given = task(
        {"use": "small-cnn", "width": 2, "depth": 2}, {"use": front, "recipe": inner}, cohort=people, genomes=genomes
    )
    assert [entry["recipe"] for entry in train(given).meta["filters"]] == [front]
    assert any(follows for _, follows in seen), "gradients were asked for through the filter"


@pytest.mark.slow
def test_what_it_learns_it_learns_once_from_his_people(monkeypatch: pytest.MonkeyPatch) -> None:
    studied: list[StudySet] = []
    original = Fawkes.learn

    def watched(self: Fawkes, study_set: StudySet) -> Any:
        studied.append(study_set)
        return original(self, study_set)

    monkeypatch.setattr(Fawkes, "learn", watched)
    room = data(16, 8)
    specs, wrong = parse_spec("architecture", {"use": "small-cnn", "width": 4, "depth": 3}, ())
    assert not wrong
    network = specs[0].plugin().build(room.schema, 32)
    Adaptive(epochs=1, defender=quick("fawkes")).train(network, room)
    assert len(studied) == 1
    np.testing.assert_array_equal(studied[0].keys, room.training.photos.rows)
    assert studied[0].seed == derive(room.seed, "adaptive", "learn"), "his own random numbers"


@pytest.mark.slow
def test_a_shortcut_of_his_own_is_no_cure_but_clean_copies_keep_reading() -> None:
    """Photos that all carry the pattern of their class teach the pattern; clean photos beside them teach the face."""
    people, genomes = cohort(96, contrast=0.2)
    seen = {}
    for clean in (0.0, 1.0):
        recipe = {"use": "adaptive", "defender": {"use": "shortcut", "epsilon": 0.25}, "epochs": 6, "clean": clean,
                  "learning_rate": 0.01, "augment": 0, "patience": None}  # fmt: skip
        out = train(task({"use": "small-cnn", "width": 4, "depth": 3}, recipe, cohort=people, genomes=genomes))
        hits = out.array("watched")[-1] == np.asarray(people.array("labels"))[out.array("watched_photo")]
        seen[clean] = float(hits.mean())
    assert seen[1.0] > seen[0.0] + 0.1, seen
    assert Standard.model_fields.keys() <= Adaptive.model_fields.keys()


def test_several_tools_each_protect_all_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned from: the photos after the first tool, after the second, and the clean part of them once more."""
    from linkbench.models import training

    given: list[Any] = []
    monkeypatch.setattr(training, "fit", lambda network, room, plan: given.append(
        [examples.photos.batch(np.arange(len(examples))).numpy() for examples in (room.training, room.validation)]
        + [room.training.labels]) or Report())  # fmt: skip
    room = data(12, 6)
    tools = [{"use": "noise", "epsilon": 0.1}, {"use": "blur", "sigma": 2.0}]
    network = parse_spec("architecture", {"use": "small-cnn", "width": 4, "depth": 3}, ())[0][0].plugin()
    made = network.build(room.schema, 32)
    Adaptive(tools=tools, clean=0.5).train(made, room)
    for tool in tools:
        Adaptive(defender=tool, clean=0.5).train(made, room)
    (training_photos, validation, labels), (first, *_), (second, *_) = given
    before = room.training.photos.batch(np.arange(12)).numpy()
    assert len(training_photos) == 12 + 12 + 6
    assert len(validation) == 12
    np.testing.assert_array_equal(training_photos[:12], first[:12])
    np.testing.assert_array_equal(training_photos[12:24], second[:12])
    np.testing.assert_array_equal(training_photos[24:], first[12:])
    assert all((photo == before).all(axis=(1, 2, 3)).any() for photo in training_photos[24:])
    np.testing.assert_array_equal(labels[12:24], room.training.labels)
    with pytest.raises(InputError, match="'to: all' means the defenders of a scenario"):
        Adaptive(to="all").train(made, room)
