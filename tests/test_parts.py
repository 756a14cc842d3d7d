"""Stages over photos that are cut into parts: the joined artefact, its key and its digest are those of the whole."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SCENARIOS
from test_executors import written

import linkbench as lb
from linkbench.api.data import Artefact
from linkbench.execution.job import Order, carry_out
from linkbench.execution.local import Local
from linkbench.execution.run import Run
from linkbench.plan.make import make_plan
from linkbench.plan.task import Part
from linkbench.stages import parts as cut
from linkbench.store.store import Store

PHOTOS = """
linkbench: 1
name: photos
seed: 1
cohort: {use: rendered, count: 420, size: 96}
genomes: {use: simulated, count: 900}
models:
  - {name: plain, architecture: {use: small-cnn, width: 4, depth: 3}, recipe: {use: standard, epochs: 1}}
defenders: [{use: noise, epsilon: 0.02, rate: 0.5}, {use: joint-pgd, epsilon: 0.02, steps: 1}]
channels: [jpeg]
attackers: [predicted, {use: likelihood, learns: [clean, protected]}]
split: {test: 0.7}
measure: {top_k: [1], sizes: [10], resamples: 100}
"""
"""294 photos are linked, in batches of 28, or 113 in networks: parts of 56, 112 and 113."""


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "NETWORKS", 64)
    monkeypatch.setattr(cut, "PLAIN", 128)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store and the results of a run that cuts nothing."""
    folder = tmp_path_factory.mktemp("whole")
    lb.run(PHOTOS, store=folder / "store", out=folder / "out", workers=1)
    return folder


def names(folder: Path) -> set[str]:
    """Every entry of a store and every object: both are named by digests of what they hold."""
    return {str(path.relative_to(folder)) for part in ("keys", "objects") for path in (folder / part).rglob("*.*")}


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_the_store_holds_the_same_keys_and_objects_after_a_run_in_parts(whole: Path, tmp_path: Path) -> None:
    """So what was made in parts is found by a run that cuts nothing, and the other way round."""
    labels: list[str] = []

    class Watcher:
        def begin(self, step: Any, label: str, worker: str) -> None:
            labels.append(f"{step.stage}: {worker}")

        def note(self, label: str, text: str) -> None:
            raise AssertionError(text)

        def end(self, step: Any, label: str, outcome: Any) -> None:
            pass

    lb.run(PHOTOS, store=tmp_path / "store", out=tmp_path / "out", workers=2, progress=Watcher())
    assert {"protect: 6 parts", "quality: 3 parts", "publish: 3 parts"} <= set(labels)
    assert names(tmp_path / "store") == names(whole / "store")
    assert written(tmp_path / "out") == written(whole / "out")


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_every_part_of_every_stage_is_a_piece_of_the_whole(whole: Path, tmp_path: Path) -> None:
    """Each part carried out by itself, in another order, and then joined under the key of the whole."""
    run = Run(make_plan(lb.load_scenario(PHOTOS)), Store(shutil.copytree(whole / "store", tmp_path / "store")))
    run.look_up()
    seen = set()
    for id_, step in run.plan.steps.items():
        found = run.records[id_].entry
        digests = run.digests(step)
        parts = cut.parts_of(step, lambda name: run.store.peek(digests[name]), "cpu")  # noqa: B023
        if not parts:
            continue
        seen.add(step.stage)
        assert parts[0].start == 0
        assert all(one.stop == other.start for one, other in itertools.pairwise(parts))
        order = Order(step, step.stage, found.key, digests, "cpu", None, ".")
        made = {}
        for part in reversed(parts):
            report = carry_out(order._replace(key={**found.key, "part": list(part)}, part=part), run.store)
            assert report.failure is None, report.failure
            made[part] = report.digest
        inputs = {str(number): made[part] for number, part in enumerate(parts)}
        joined = carry_out(order._replace(inputs=inputs, joins=1.5), run.store)
        assert joined.digest == found.digest
        assert len({found.digest, *made.values()}) == 1 + len(parts), "a part can be told from all else"
    assert seen == {"protect", "publish", "quality", "predict"}


def test_what_is_small_or_no_stage_over_photos_stays_whole() -> None:
    plan = make_plan(lb.load_scenario(SCENARIOS / "quickstart.yaml"))
    photos = Artefact({"photos": np.zeros((360, 3, 64, 64), np.uint8), "split": np.full(360, 2)}, {})
    for step in plan.steps.values():
        parts = cut.parts_of(step, lambda name: photos, "cpu")
        assert not parts or step.stage == "protect"
    assert not cut.parts_of(next(iter(plan.steps.values())), lambda name: None, "cpu")


@pytest.mark.parametrize(("size", "expected"), [(64, 4096), (224, 4095), (700, 4096)])
def test_parts_end_where_batches_end(size: int, expected: int) -> None:
    plan = make_plan(lb.load_scenario(PHOTOS))
    photos = Artefact(
        {"photos": np.broadcast_to(np.uint8(0), (20_000, 3, size, size)), "split": np.full(20_000, 2)}, {}
    )
    for step in plan.steps.values():
        if step.stage in ("publish", "quality") and "split" not in step.settings:
            parts = cut.parts_of(step, lambda name: photos, "cpu")
            assert parts[0] == Part(0, expected)
            assert parts[-1].stop == 20_000
            assert parts[0].of_batches([slice(0, 10), slice(expected - 1, expected), slice(expected, 9000)]) == [
                slice(0, 10), slice(expected - 1, expected)
            ]  # fmt: skip


def test_parts_that_disagree_are_not_joined() -> None:
    one = Artefact({"photo": np.arange(3)}, {"budget": 1, "part": [0, 3]})
    other = Artefact({"photo": np.arange(3, 5)}, {"budget": 2, "part": [3, 5]})
    with pytest.raises(ValueError, match="disagree"):
        cut.joined([one, other])
    same = cut.joined([one, other._replace(meta={"budget": 1, "part": [3, 5]})])
    assert same.meta == {"budget": 1}


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_parts_that_were_done_are_not_done_again(whole: Path, tmp_path: Path) -> None:
    """A run that was interrupted between parts leaves them; the next one joins them, though one of them is gone."""
    store = Store(tmp_path / "store")
    run = Run(make_plan(lb.load_scenario(PHOTOS)), store, executor=Local(workers=2))
    full = Run(run.plan, Store(whole / "store"))
    full.look_up()
    kept = [id_ for id_, step in run.plan.steps.items() if step.stage in ("genomes", "cohort", "train")]
    for id_ in kept:
        entry = full.records[id_].entry
        artefact = full.store.read(entry.digest)
        assert artefact is not None
        store.write(entry.key, artefact, lambda: 0.0)
    id_, step = next((id_, step) for id_, step in run.plan.steps.items() if step.stage == "protect")
    key, digests = full.records[id_].entry.key, full.digests(step)
    order = Order(step, "protect", key, digests, "cpu", None, ".")
    parts = cut.parts_of(step, lambda name: store.peek(digests[name]), "cpu")
    for part in parts[:2]:
        report = carry_out(order._replace(key={**key, "part": list(part)}, part=part), store)
        assert report.digest
    gone = store.find({**key, "part": list(parts[0])})
    assert gone is not None
    store.blobs.delete(f"objects/{gone.digest[:2]}/{gone.digest}.safetensors")
    outcome = run.execute()
    assert not outcome.failures
    assert outcome.records[id_].entry.digest == full.records[id_].entry.digest
    assert names(tmp_path / "store") == names(whole / "store")
