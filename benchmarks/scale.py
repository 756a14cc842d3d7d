"""What a run costs beyond this machine: overhead per stage measured here, and a cluster simulated from measured stages.

    python benchmarks/scale.py overhead                       # 1,000 stages that do nothing, by every executor there is
    linkbench run scenarios/quickstart.yaml --store S --out O
    python benchmarks/scale.py simulate O --store S --photos 1000000 --workers 1000

The simulation knows what was measured: the seconds of every stage and the bytes that it left. Stages that work on
tested photos grow with their number and are cut into parts; training and genomes stay as they were. It is a simulation
of discrete events: a driver that hands out one job at a time, workers that read, compute and write, a store whose
throughput they share, machines that are taken away and come back. Times of computation are those of one core here.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.data import Artefact
from linkbench.plan.task import Task

SPLIT = ("protect", "publish", "quality", "predict")
"""Stages of tested photos that photos pass one by one."""

WHOLE = ("rank", "measure")
"""Stages that grow with the tested photos, and need all of them at once."""


class Job(NamedTuple):
    """One piece of work: seconds on one core, bytes that it reads and leaves, and the jobs that come before it."""

    stage: str
    seconds: float
    reads: float
    writes: float
    after: tuple[int, ...] = ()


class Cluster(NamedTuple):
    """What there is. workers: cores; dispatch: seconds of the driver for each job; link, throughput: bytes per second
    of a worker and of the whole store; lag: seconds until the store answers; lost: how often a worker is taken away,
    per hour; absent: seconds until another one stands in its place; price: of a worker's hour."""

    workers: int
    dispatch: float = 0.002
    link: float = 250e6
    throughput: float = 10e9
    lag: float = 0.01
    lost: float = 0.0
    absent: float = 60.0
    price: float = 0.04


class Course(NamedTuple):
    """makespan and busy: seconds, the latter summed over workers; wasted: of that, for jobs that were lost; read,
    written: bytes; lost: jobs that had to begin again; price: of all workers from the first job to the last."""

    makespan: float
    busy: float
    wasted: float
    read: float
    written: float
    lost: int
    price: float

    def used(self, cluster: Cluster) -> float:
        """The part of the workers' time that went into work that counts."""
        return (self.busy - self.wasted) / (self.makespan * cluster.workers) if self.makespan else 0.0


def simulate(jobs: Sequence[Job], cluster: Cluster, seed: int = 0) -> Course:
    """Carry the jobs out, each once its inputs are there, the driver and a worker are free; longest paths first."""
    return _Simulation(jobs, cluster, seed).run()


class _Simulation:
    """The events still to come, and what has been used so far.

    The store serves transfers in the order in which they begin: one takes as long as the worker's link needs, and ends
    no earlier than the store's throughput allows for all that came before it.
    """

    def __init__(self, jobs: Sequence[Job], cluster: Cluster, seed: int) -> None:
        self.jobs, self.cluster, self.draw = jobs, cluster, random.Random(seed)
        self.urgency = longest_paths(jobs)
        self.children: list[list[int]] = [[] for _ in jobs]
        self.missing = [len(job.after) for job in jobs]
        for number, job in enumerate(jobs):
            for other in job.after:
                self.children[other].append(number)
        self.ready = [(-self.urgency[number], number) for number, count in enumerate(self.missing) if not count]
        heapq.heapify(self.ready)
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.order = itertools.count()  # of events at the same time
        self.idle = cluster.workers
        self.driver = self.pipe = self.last = self.busy = self.wasted = self.read = self.written = 0.0
        self.lost = self.done = 0

    def at(self, time: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (time, next(self.order), what))

    def run(self) -> Course:
        self.hand_out(0.0)
        while self.events and self.done < len(self.jobs):
            time, _, what = heapq.heappop(self.events)
            what(time)
            self.hand_out(time)
        cost = self.last / 3600 * self.cluster.workers * self.cluster.price
        return Course(self.last, self.busy, self.wasted, self.read, self.written, self.lost, cost)

    def hand_out(self, now: float) -> None:
        while self.ready and self.idle:
            _, number = heapq.heappop(self.ready)
            self.idle -= 1
            self.driver = max(self.driver, now) + self.cluster.dispatch
            self.at(self.driver, partial(self.begin, number))

    def transfer(self, now: float, size: float) -> float:
        """When a transfer that begins now ends."""
        self.pipe = max(self.pipe, now) + size / self.cluster.throughput
        return max(now + self.cluster.lag + size / self.cluster.link, self.pipe)

    def begin(self, number: int, now: float) -> None:
        job = self.jobs[number]
        self.read += job.reads
        alive = [True]
        if self.cluster.lost:
            self.at(now + self.draw.expovariate(self.cluster.lost / 3600), partial(self.lose, number, now, alive))
        self.at(self.transfer(now, job.reads) + job.seconds, partial(self.write, number, now, alive))

    def write(self, number: int, begun: float, alive: list[bool], now: float) -> None:
        if alive[0]:
            self.at(self.transfer(now, self.jobs[number].writes), partial(self.end, number, begun, alive))

    def end(self, number: int, begun: float, alive: list[bool], now: float) -> None:
        if not alive[0]:
            return
        alive[0] = False
        self.done += 1
        self.idle += 1
        self.last = now
        self.busy += now - begun
        self.written += self.jobs[number].writes
        for child in self.children[number]:
            self.missing[child] -= 1
            if not self.missing[child]:
                heapq.heappush(self.ready, (-self.urgency[child], child))

    def lose(self, number: int, begun: float, alive: list[bool], now: float) -> None:
        """A worker is taken away; its job begins again elsewhere, and another worker comes later."""
        if not alive[0]:
            return
        alive[0] = False
        self.lost += 1
        self.busy += now - begun
        self.wasted += now - begun
        heapq.heappush(self.ready, (-self.urgency[number], number))
        self.at(now + self.cluster.absent, self.come_back)

    def come_back(self, now: float) -> None:
        self.idle += 1


def longest_paths(jobs: Sequence[Job]) -> list[float]:
    """For each job the seconds of the longest chain that begins with it; jobs stand after those that they wait for."""
    out = [job.seconds for job in jobs]
    for number in range(len(jobs) - 1, -1, -1):
        for other in jobs[number].after:
            out[other] = max(out[other], jobs[other].seconds + out[number])
    return out


class Run(NamedTuple):
    """A run that was measured. steps: of run.json, each after its inputs; sizes: bytes by digest; tested: how many
    photos were protected and linked; cohort: how many photos there were in all."""

    steps: Sequence[Mapping[str, Any]]
    sizes: Mapping[str, int]
    tested: int
    cohort: int


def jobs_of(run: Run, photos: int, part: int) -> list[Job]:
    """The jobs of a run with so many tested photos instead, and as many others, cut into parts of `part` photos.

    0 cuts nothing. What is done to tested photos, and their ranks, grow in proportion; networks, and what is done to
    photos that attackers learn from, stay as they were.
    """
    growth = {"cohort": (run.cohort - run.tested + photos) / run.cohort}
    jobs: list[Job] = []
    where: dict[str, list[int]] = {}
    tested: set[str] = set()  # digests of what is about tested photos
    for step in run.steps:
        stage, digest, inputs = step["stage"], step["digest"], set(step["key"]["inputs"].values())
        if digest in where:
            continue
        own = stage == "protect" and bool(step["key"]["settings"])  # of photos that an attacker learns from
        if stage in WHOLE or (stage in SPLIT and not own and (stage == "protect" or inputs & tested)):
            tested.add(digest)
        grows = growth.get(stage, photos / run.tested) if digest in tested or stage == "cohort" else 1.0
        count = -(-photos // part) if part and digest in tested and stage in SPLIT else 1
        where[digest] = []
        for place in range(count):
            reads, after = 0.0, []
            for other in inputs & where.keys():
                made = where[other]
                # a part needs the same part of what was cut alike, and all of the rest
                needed = [made[place]] if len(made) == count > 1 else made
                after += needed
                mapped = count if jobs[made[0]].stage == "cohort" else 1  # of a file that is mapped, its own photos
                reads += sum(jobs[one].writes for one in needed) / mapped
            where[digest].append(len(jobs))
            size = run.sizes.get(digest, 0) * grows / count
            jobs.append(Job(stage, step["seconds"] * grows / count, reads, size, tuple(sorted(after))))
    return jobs


def measured(folder: Path, store: str, factor: float) -> Run:
    """The run of a results folder, with its store; seconds are multiplied by `factor`."""
    from linkbench.store.store import Store, object_name

    told = json.loads((folder / "run.json").read_bytes())
    where = Store(store)
    steps = _in_order([{**step, "seconds": step["seconds"] * factor} for step in told["steps"].values()])
    sizes = {}
    for step in steps:
        info = where.blobs.info(object_name(step["digest"]))
        if info is None:
            raise SystemExit(f"{store} does not hold the run of {folder}; run it again with this store")
        sizes[step["digest"]] = info.size

    def count(stage: str, array: str) -> int:
        found = where.read(next(step["digest"] for step in steps if step["stage"] == stage))
        assert found is not None
        return len(found.array(array))

    return Run(steps, sizes, count("protect", "photo"), count("cohort", "labels"))


def _in_order(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, each after those whose digests are its inputs."""
    left, known, out = list(steps), set[str](), list[dict[str, Any]]()
    made = {step["digest"] for step in steps}
    while left:
        now = [step for step in left if set(step["key"]["inputs"].values()) & made <= known]
        out += now
        known |= {step["digest"] for step in now}
        left = [step for step in left if not any(step is other for other in now)]
    return out


def report(run: Run, photos: int, part: int, cluster: Cluster, seed: int) -> None:
    """Print the run as it was, and what it would be on the cluster, cut and uncut."""
    seconds: Counter[str] = Counter()
    for step in run.steps:
        seconds[step["stage"]] += step["seconds"]
    most = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.most_common(7))
    print(
        f"measured: {len(run.steps)} stages, {run.tested} tested photos, {sum(seconds.values()):.0f} s of work: {most}"
    )
    print(f"simulated: {photos:,} photos, seed {seed}, {cluster}")
    print("cut into        workers      jobs    makespan   in use   lost      read   written    price")
    for size in (part, 0):
        jobs = jobs_of(run, photos, size)
        cut = f"{size:,} photos" if size else "whole stages"
        for workers in sorted({1, max(1, cluster.workers // 10), cluster.workers}):
            here = cluster._replace(workers=workers)
            course = simulate(jobs, here, seed)
            print(
                f"{cut:14s} {workers:>8,} {len(jobs):>9,} {course.makespan / 3600:>9.2f} h {course.used(here):>7.0%} "
                f"{course.lost:>6,} {course.read / 1e12:>6.2f} TB {course.written / 1e12:>6.2f} TB {course.price:>8.0f}"
            )


def nothing(task: Task) -> Artefact:
    """A stage that has nothing to do."""
    return Artefact({"number": np.array([task.settings["number"]])}, {})


def overhead(count: int, workers: int) -> None:
    """Print what a stage costs beyond its work, by every executor there is: a tenth of the stages, then all of them.

    Both by the clock and in processor time of the driver, which hands out one stage at a time and bounds a large run.
    """
    from linkbench.execution.choice import chosen
    from linkbench.registry.registry import registry

    for name in registry().plugins["executor"]:
        for number in (1, workers) if name == "local" else (workers,):
            try:
                _carried_out(chosen(name, number), 1)  # what is imported once is no overhead
                few, many = (_carried_out(chosen(name, number), stages) for stages in (count // 10, count))
            except Exception as error:  # of other packages, too: a cluster may not be there
                print(f"{name}: NOT MEASURED: {type(error).__name__}: {error}")
                continue
            more = count - count // 10
            wall, driver = ((all_ - some) / more for some, all_ in zip(few, many, strict=True))
            start = few[0] - wall * (count // 10)
            print(
                f"{name}, {number} workers: {1000 * wall:.2f} ms a stage, {1000 * driver:.2f} ms of the driver's "
                f"processor time; start {start:.2f} s"
            )


def _carried_out(executor: Any, count: int) -> tuple[float, float]:
    """Seconds by the clock, and of this process's processor time, for a plan of stages that do nothing."""
    from linkbench.execution.run import Run
    from linkbench.plan.builder import Plan, Step
    from linkbench.store.store import Store

    steps = [Step("nothing", "scale:nothing", {}, {"number": number}, {}, 0) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        begun, used = time.perf_counter(), time.process_time()
        run = Run(Plan({step.id: step for step in steps}, []), Store(folder), executor=executor)
        run.execute()
        assert len(run.records) == count, run.failures
        return time.perf_counter() - begun, time.process_time() - used


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    measure = commands.add_parser("overhead")
    measure.add_argument("--stages", type=int, default=1000)
    measure.add_argument("--workers", type=int, default=2)
    cluster = commands.add_parser("simulate")
    cluster.add_argument("results", type=Path)
    cluster.add_argument("--store", required=True)
    cluster.add_argument("--photos", type=int, default=1_000_000)
    cluster.add_argument("--part", type=int, default=1000, help="photos of one job")
    cluster.add_argument("--workers", type=int, default=1000)
    cluster.add_argument("--seed", type=int, default=0)
    cluster.add_argument(
        "--factor", type=float, default=1.0,
        help="processor time over wall time of the measured run, where it had no core to itself",
    )  # fmt: skip
    for field, default in Cluster._field_defaults.items():
        cluster.add_argument(f"--{field}", type=float, default=default)
    given = parser.parse_args()
    if given.command == "overhead":
        overhead(given.stages, given.workers)
    else:
        settings = {field: getattr(given, field) for field in Cluster._fields}
        run = measured(given.results, given.store, given.factor)
        report(run, given.photos, given.part, Cluster(**settings), given.seed)
