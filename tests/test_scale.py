"""The simulated cluster on plans whose course can be told beforehand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FILE = Path(__file__).parents[1] / "benchmarks" / "scale.py"
spec = importlib.util.spec_from_file_location("scale", FILE)
assert spec is not None
assert spec.loader is not None
scale = importlib.util.module_from_spec(spec)
sys.modules["scale"] = scale
spec.loader.exec_module(scale)

Job, Cluster, simulate = scale.Job, scale.Cluster, scale.simulate
IDEAL: dict[str, Any] = {"dispatch": 0.0, "link": 1e30, "throughput": 1e30, "lag": 0.0, "price": 1.0}


def test_independent_jobs_fill_the_workers() -> None:
    course = simulate([Job("x", 1.0, 0, 0)] * 10, Cluster(3, **IDEAL))
    assert course.makespan == 4.0
    assert course.busy == 10.0
    assert course.used(Cluster(3, **IDEAL)) == pytest.approx(10 / 12)
    assert course.price == pytest.approx(3 * 4 / 3600)


def test_chains_take_as_long_as_their_jobs_and_long_ones_come_first() -> None:
    chain = [Job("x", 2.0, 0, 0), Job("x", 3.0, 0, 0, (0,)), Job("x", 4.0, 0, 0, (1,))]
    assert simulate(chain, Cluster(8, **IDEAL)).makespan == 9.0
    # two workers: the chain of 9 on one, jobs of 3 on the other
    mixed = [Job("x", 3.0, 0, 0)] * 3 + [job._replace(after=tuple(n + 3 for n in job.after)) for job in chain]
    assert simulate(mixed, Cluster(2, **IDEAL)).makespan == 9.0


def test_the_driver_hands_out_one_job_at_a_time() -> None:
    course = simulate([Job("x", 1.0, 0, 0)] * 100, Cluster(100, **{**IDEAL, "dispatch": 0.1}))
    assert course.makespan == pytest.approx(100 * 0.1 + 1)


def test_transfers_wait_for_the_link_and_for_the_store() -> None:
    jobs = [Job("x", 0.0, 100.0, 50.0)] * 4
    slow_link = simulate(jobs, Cluster(4, **{**IDEAL, "link": 10.0, "lag": 1.0}))
    assert slow_link.makespan == pytest.approx(1 + 10 + 1 + 5)
    assert (slow_link.read, slow_link.written) == (400.0, 200.0)
    slow_store = simulate(jobs, Cluster(4, **{**IDEAL, "throughput": 10.0}))
    assert slow_store.makespan == pytest.approx(600 / 10), "all bytes pass the store, one after the other"


def test_workers_that_are_taken_away_cost_what_they_did() -> None:
    jobs = [Job("x", 600.0, 0, 0)] * 200
    cluster = Cluster(20, **IDEAL, lost=1.0, absent=60.0)
    course, again = simulate(jobs, cluster, 1), simulate(jobs, cluster, 1)
    assert course == again
    assert course.lost > 0
    assert course.busy - course.wasted == pytest.approx(200 * 600)
    # a job of 10 minutes at one loss an hour is lost with 1 - exp(-1/6), so 200 jobs take some 236 tries
    lost = [simulate(jobs, cluster, seed).lost for seed in range(20)]
    assert sum(lost) / len(lost) == pytest.approx(200 * (2.718281828 ** (1 / 6) - 1), rel=0.2)
    assert course.makespan > simulate(jobs, cluster._replace(lost=0.0)).makespan


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_course_beats_the_bounds(data: st.DataObject) -> None:
    """Not below the work shared out, nor below the longest chain; by Graham's bound never above their sum."""
    count = data.draw(st.integers(1, 25))
    jobs = []
    for number in range(count):
        after = data.draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        jobs.append(Job("x", data.draw(st.integers(0, 20)) / 4, 0, 0, tuple(sorted(after))))
    workers = data.draw(st.integers(1, 6))
    course = simulate(jobs, Cluster(workers, **IDEAL))
    work, chain = sum(job.seconds for job in jobs), max(scale.longest_paths(jobs))
    assert course.busy == pytest.approx(work)
    assert course.makespan >= max(work / workers, chain) - 1e-9
    assert course.makespan <= work / workers + chain + 1e-9


def test_a_measured_run_grows_and_is_cut() -> None:
    """A hundred photos for ten, in five parts: they pass their stages part by part; networks are trained once."""

    def step(stage: str, seconds: float, name: str = "", settings: Any = None, **inputs: str) -> dict[str, Any]:
        key = {"inputs": inputs, "settings": settings or {}}
        return {"stage": stage, "seconds": seconds, "digest": name or stage, "key": key}

    steps = [
        step("cohort", 2.0), step("train", 8.0, cohort="cohort"), step("protect", 5.0, cohort="cohort", train="train"),
        step("protect", 4.0, "own", {"split": 1}, cohort="cohort", train="train"),
        step("publish", 2.0, protect="protect"), step("publish", 1.0, "learnt", protect="own"),
        step("predict", 1.0, published="publish", train="train"), step("rank", 3.0, predict="predict", own="learnt"),
    ]  # fmt: skip
    assert sorted(scale._in_order(steps[::-1]), key=str) == sorted(steps, key=str)
    sizes = {
        "cohort": 200,
        "train": 7,
        "protect": 40,
        "publish": 10,
        "predict": 1,
        "rank": 2,
        "own": 5,
        "learnt": 3,
    }
    run = scale.Run(steps, sizes, 10, 20)
    jobs = scale.jobs_of(run, 100, 20)
    by_stage: dict[str, list[Any]] = {}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    assert {stage: len(group) for stage, group in by_stage.items()} == {
        "cohort": 1, "train": 1, "protect": 5 + 1, "publish": 5 + 1, "predict": 5, "rank": 1,
    }  # fmt: skip
    seconds = {stage: sum(job.seconds for job in group) for stage, group in by_stage.items()}
    assert seconds == {"cohort": 11.0, "train": 8.0, "protect": 54.0, "publish": 21.0, "predict": 10.0, "rank": 30.0}
    assert sum(job.writes for job in jobs) == pytest.approx(1100 + 7 + 405 + 103 + 10 + 20)
    assert jobs[2 + 1].stage == "protect"
    assert jobs[2 + 1].reads == pytest.approx(1100 / 5 + 7), "its photos alone, and the whole network"
    assert jobs[8 + 1].stage == "publish"
    assert jobs[8 + 1].after == (2 + 1,)
    predictions = [number for number, job in enumerate(jobs) if job.stage == "predict"]
    assert by_stage["rank"][0].after == (13, *predictions)
    whole = scale.jobs_of(run, 100, 0)
    assert len(whole) == len(steps)
    assert sum(job.seconds for job in whole) == pytest.approx(sum(job.seconds for job in jobs))
    assert simulate(jobs, Cluster(6, **IDEAL)).makespan == pytest.approx(11 + 8 + 10 + 4 + 2 + 30)
    assert scale.jobs_of(run, 10, 0)[2].seconds == 5.0, "as it was measured"
