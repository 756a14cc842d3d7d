"""Stages over photos that are cut into parts: the joined artefact, its key and its digest are those of the whole."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SCENARIOS
from test_executors import written

import linkbench as lb
from linkbench.api.data import Artefact
from linkbench.execution.job import Joined, Order, carry_out
from linkbench.execution.local import Local
from linkbench.execution.run import Run
from linkbench.harness.proposals import proposing
from linkbench.plan.make import make_plan
from linkbench.plan.task import Part, Task
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
        parts = cut.cut_of(step, lambda name: run.store.peek(digests[name]), "cpu").parts  # noqa: B023
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
        joined = carry_out(order._replace(inputs={}, joins=Joined([made[part] for part in parts], 1.5)), run.store)
        assert joined.digest == found.digest
        assert len({found.digest, *made.values()}) == 1 + len(parts), "a part can be told from all else"
    assert seen == {"protect", "publish", "quality", "predict"}


def test_what_is_small_or_no_stage_over_photos_stays_whole() -> None:
    plan = make_plan(lb.load_scenario(SCENARIOS / "quickstart.yaml"))
    photos = Artefact(
        {"photos": np.zeros((360, 3, 64, 64), np.uint8), "split": np.full(360, 2), "photo": np.arange(360)}, {}
    )
    for step in plan.steps.values():
        parts = cut.cut_of(step, lambda name: photos, "cpu").parts
        assert not parts or step.stage == "protect"
    assert not cut.cut_of(next(iter(plan.steps.values())), lambda name: None, "cpu").parts


@pytest.mark.parametrize(("size", "expected"), [(64, 4096), (224, 4095), (700, 4096)])
def test_parts_end_where_batches_end(size: int, expected: int) -> None:
    plan = make_plan(lb.load_scenario(PHOTOS))
    photos = Artefact(
        {"photos": np.broadcast_to(np.uint8(0), (20_000, 3, size, size)), "split": np.full(20_000, 2)}, {}
    )
    for step in plan.steps.values():
        if step.stage in ("publish", "quality") and "split" not in step.settings:
            parts = cut.cut_of(step, lambda name: photos, "cpu").parts
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
    parts = cut.cut_of(step, lambda name: store.peek(digests[name]), "cpu").parts
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


COHORT = """
import numpy as np
from dataclasses import replace
from linkbench.cohorts.sampled import Sampled


class Unsure(Sampled):
    def build(self, genomes, seed):
        people = super().build(genomes, seed)
        told = people.predictions + 0.3 * np.random.default_rng(seed).random(people.predictions.shape)
        for span in people.schema.slices.values():
            told[:, span] /= told[:, span].sum(axis=1, keepdims=True)
        return replace(people, predictions=told)
"""

ATTACKERS = '''
import os
import numpy as np
from linkbench import Attacker


class Near(Attacker):
    sees = frozenset({"probabilities"})

    def score(self, evidence, genomes, learned):
        return evidence.probabilities @ np.exp(genomes.log_p).T


SHIFT = int.from_bytes(os.urandom(2), "big")


class Fickle(Near):
    """Another one in every process."""

    def score(self, evidence, genomes, learned):
        return super().score(evidence, genomes, learned) + SHIFT
'''

TABLES = """
linkbench: 1
name: tables
genomes: {use: simulated, count: 2200}
cohort: {use: unsure, count: 2100}
attackers: [predicted, soft, near]
measure: {top_k: [1], sizes: [10], resamples: 100, alike: [sex]}
"""


@pytest.fixture
def unsure(fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,100 photos, each with predictions of its own, and attackers from elsewhere; a part has 1,024 rows of scores."""
    register = [
        "from linkbench import hookimpl",
        "@hookimpl\ndef register_cohorts(register):",
        '    register("unsure", "pkg.cohort:Unsure", summary="unsure", api=1)',
        "@hookimpl\ndef register_attackers(register):",
        '    register("near", "pkg.attackers:Near", summary="near", api=1)',
        '    register("fickle", "pkg.attackers:Fickle", summary="fickle", api=1)',
    ]
    site = fake_plugin("pkg", {"__init__.py": "\n".join(register), "cohort.py": COHORT, "attackers.py": ATTACKERS})
    monkeypatch.setenv("PYTHONPATH", f"{site}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(cut, "PLAIN", 1024)


class Begun:
    """Hears which stages are carried out in how many parts."""

    def __init__(self) -> None:
        self.labels: set[str] = set()

    def begin(self, step: Any, label: str, worker: str) -> None:
        self.labels.add(f"{label}: {worker}")

    def note(self, label: str, text: str) -> None:
        pass

    def end(self, step: Any, label: str, outcome: Any) -> None:
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("unsure")
def test_ranks_in_parts_are_the_bytes_of_the_whole(tmp_path: Path) -> None:
    """In four rounds, of an attacker of linkbench's and of one from elsewhere, who is in another process each time."""
    lb.run(TABLES, store=tmp_path / "whole", out=tmp_path / "one", workers=1)
    heard = Begun()
    lb.run(TABLES, store=tmp_path / "parts", out=tmp_path / "other", workers=2, progress=heard)
    split = {label for label in heard.labels if "parts" in label}
    assert split == {f"rank {attacker}: 3 parts" for attacker in ("predicted", "soft", "near")}
    assert names(tmp_path / "parts") == names(tmp_path / "whole")
    assert written(tmp_path / "other") == written(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.usefixtures("unsure")
def test_an_attacker_whose_scores_differ_between_the_rounds_is_named(tmp_path: Path) -> None:
    text = TABLES.replace("soft, near", "fickle")
    results = lb.run(text, store=tmp_path / "store", workers=2)
    assert {row.attacker for row in results.rows} == {"predicted"}
    (failed,) = results.failed
    assert failed.reason.startswith("attacker fickle scored one photo and genome ")


@pytest.mark.slow
@pytest.mark.usefixtures("unsure")
def test_a_ranking_goes_on_with_the_round_in_which_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(lb.load_scenario(TABLES))
    whole = Run(plan, Store(tmp_path / "whole"))
    whole.execute()
    store = Store(tmp_path / "store")
    kept: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(Store, "discard", lambda self, entry: kept.append(entry))
        Run(plan, store, executor=Local(workers=2)).execute()
    rank = {id_ for id_, step in plan.steps.items() if step.stage == "rank"}
    rounds = [entry for entry in kept if "after" in entry.key]
    assert sorted(entry.key["after"] for entry in rounds) == [0, 0, 0, 1, 1, 1, 2, 2, 2], "three rankings"
    for entry in kept:  # as if the run had ended in the third round, once its second part was done
        if entry.key.get("after") != 1 and (entry.key.get("round"), entry.key.get("part")) != (2, [1024, 2048]):
            store.forget(entry.key)
    for id_ in rank:
        store.forget(whole.records[id_].entry.key)
    again = Run(plan, store, executor=Local(workers=2))
    outcome = again.execute()
    assert not outcome.failures
    for id_ in rank:
        assert outcome.records[id_].entry.digest == whole.records[id_].entry.digest
    left = [json.loads(path.read_text())["key"] for path in (tmp_path / "store" / "keys").rglob("*.json")]
    assert len(left) == len(whole.records)
    assert not any("after" in key or "part" in key for key in left)


MADE: list[str] = []


class Learner:
    """A proposer that learns as it is made."""

    def __init__(self, task: Task, ask: Any) -> None:
        MADE.append(task.whole)


def test_a_process_learns_once_for_parts_that_follow_one_another() -> None:
    MADE.clear()
    for whole in ("one", "one", "other", "other", "one", "", ""):
        with proposing(Task({}, {}, {}, 0, "cpu", whole=whole), f"{__name__}:Learner", "learner"):
            pass
    assert MADE == ["one", "other", "one", "", ""]
    with (
        pytest.raises(ZeroDivisionError),
        proposing(Task({}, {}, {}, 0, "cpu", whole="one"), f"{__name__}:Learner", "it"),
    ):
        _ = 1 / 0
    with proposing(Task({}, {}, {}, 0, "cpu", whole="one"), f"{__name__}:Learner", "it"):
        assert MADE == ["one", "other", "one", "", "", "one", "one"]
