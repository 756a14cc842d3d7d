"""Photos drawn again with other phenotypes: by the cohort that drew them, for a defender that asks, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from standins import knowledge, predictor, random_photos, study_set

import linkbench as lb
from linkbench.api.data import Artefact
from linkbench.api.knowledge import Redraw
from linkbench.api.schema import PAPER
from linkbench.cohorts.rendered import Rendered
from linkbench.defenders.re_render import ReRender
from linkbench.errors import PluginError, ScenarioError
from linkbench.genomes.simulated import Simulated
from linkbench.harness import proposals, redraw
from linkbench.plan.task import Task
from linkbench.registry.spec import Spec

pytestmark = pytest.mark.usefixtures("one_thread")

HIDDEN = {"dyed_hair": 0.5, "lenses": 0.5, "coloured_light": 0.5, "low_resolution": 0.5, "jpeg": 0.5}
SOURCE = Rendered(count=8, per_identity=2, size=32, **HIDDEN)


def test_with_their_own_variants_people_are_drawn_as_they_were() -> None:
    cohort = SOURCE.build(Simulated(count=40).build(3), 5)
    assert isinstance(cohort.photos, lb.Stream)
    photos = np.concatenate(list(cohort.photos.blocks))
    rows = np.array([6, 1, 3])
    np.testing.assert_array_equal(SOURCE.redraw(rows, cohort.labels[rows], 5), photos[rows])
    others = cohort.labels[rows].copy()
    others[:, 3] = (others[:, 3] + 1) % 3
    changed = (SOURCE.redraw(rows, others, 5) != photos[rows]).any(axis=1)
    assert changed.any(axis=(1, 2)).all(), "another skin shows"
    assert not changed[:, 0, 0].all(), "not in every corner"
    assert SOURCE.redraw(rows[:0], others[:0], 5).shape == (0, 3, 32, 32)


class Asked:
    """Remembers for which variants photos were asked."""

    def __init__(self) -> None:
        self.rows, self.variants = np.empty(0), np.empty((0, 4))

    def __call__(self, rows: Any, variants: Any) -> Any:
        self.rows, self.variants = rows, variants
        return np.zeros((len(rows), 3, 24, 24), dtype=np.uint8)


@pytest.mark.parametrize("keep", [(), ("sex",), ("sex", "hair", "eye", "skin")])
def test_others_lend_what_is_not_kept(keep: tuple[str, ...]) -> None:
    people = 12
    labels = np.random.default_rng(0).integers(0, 2, (people, 4))
    studied = replace(study_set(random_photos(people), predictor(), list(range(100, 100 + people))), labels=labels)
    tool, asked, identity = ReRender(keep=keep), Asked(), (3, 3, 4, 101, 102, 103, 104)
    told = replace(
        knowledge(7), identity=identity, learned=tool.learn(studied), redraw=Redraw(asked, np.arange(20, 27))
    )
    out = tool.perturb(random_photos(7), told)
    assert out.shape == (7, 3, 24, 24)
    assert out.dtype == torch.float32
    assert asked.rows.tolist() == list(range(20, 27))
    own = told.labels.numpy()  # type: ignore[union-attr]
    kept = [PAPER.names.index(name) for name in keep]
    lent = [column for column in range(4) if column not in kept]
    np.testing.assert_array_equal(asked.variants[:, kept], own[:, kept])
    np.testing.assert_array_equal(asked.variants[0, lent], asked.variants[1, lent])
    assert all(any((row[lent] == other[lent]).all() for other in labels) for row in asked.variants)
    tool.perturb(random_photos(2), told.rows(torch.tensor([6, 2])))
    assert asked.rows.tolist() == [26, 22]


def scenario(**parts: Any) -> dict[str, Any]:
    recipe = {"use": "adaptive", "defender": {"use": "re-render", "keep": []}, "epochs": 1}
    plain = {"linkbench": 1, "name": "again", "genomes": "thousand-genomes", "channels": ["float"],
             "cohort": {"use": "rendered", "count": 60, "size": 32}, "defenders": ["none", "re-render"],
             "models": [{"name": "knows", "architecture": {"use": "small-cnn", "width": 4}, "recipe": recipe}],
             "attackers": ["predicted"], "measure": {"sizes": [10]}}  # fmt: skip
    return {**plain, **parts}


def test_a_run_with_an_attacker_who_has_the_tool(tmp_path: Path) -> None:
    results = lb.run(scenario(), store=tmp_path)
    assert not results.failed
    ssim = {
        cell.place["defender"]: row.value
        for cell in results.cells
        for row in results.rows
        if row.cell in cell.ids and row.metric == "ssim"
    }
    assert ssim["none"] == 1
    assert 0.3 < ssim["re-render"] < 1


@pytest.mark.parametrize(("parts", "says"), [
    ({"cohort": {"use": "paper-release", "path": "."}, "genomes": "paper-tables"},
     "re-render has people drawn again with other phenotypes, which cohort 'paper-release' cannot do; leave it out, or "
     "use cohort 'rendered'"),
    ({"cohort": "paper-tables", "genomes": "paper-tables"}, "which cohort 'paper-tables' cannot do"),
    ({"task": "identification", "genomes": None, "attackers": None}, "which nobody has in identification"),
])  # fmt: skip
def test_where_nobody_can_draw_it_is_said_before_any_work(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        lb.load_scenario({name: value for name, value in scenario(**parts).items() if value is not None})
    assert says in str(caught.value)


class Wrong(Rendered):
    """Draws photos in floats."""

    def redraw(self, rows: Any, variants: Any, seed: int) -> Any:
        return np.zeros((len(rows), 3, 8, 8))


class Chosen(Spec):
    """A spec of an object at hand."""

    source: ClassVar[Any] = Wrong()

    def plugin(self) -> Any:
        return self.source


def test_what_is_drawn_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redraw, "Spec", Chosen)
    cohort = Artefact({}, {redraw.NAME: {"spec": ["cohort", "wrong", {}, "wrong"], "seed": 0}})
    draw = redraw.drawing(cohort)
    assert draw is not None
    with pytest.raises(PluginError, match=r"cohort wrong must draw photos uint8 \[2, 3, h, w\], it gave float64"):
        draw(np.arange(2), np.zeros((2, 4), dtype=np.int64))
    assert redraw.drawing(Artefact({}, {})) is None


def test_who_draws_counts_among_the_plugins_of_a_stage() -> None:
    """A cohort of others must not draw in the process of the harness."""
    spec = Spec("cohort", "rendered", Rendered().model_dump(mode="json"), "rendered")
    task = Task({"known": Artefact({}, redraw.offered(spec, 3))}, {}, {}, 0, "cpu")
    assert spec in proposals._specs(task)
