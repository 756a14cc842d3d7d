"""Speed of the linkage engine, as ratios. Run: python benchmarks/linkage.py [--large]

1. All success curves of the paper's matching (one setting, k = 1, 3, 5, every n from 10 to 456) against the authors'
   script, which took 294 s on two cores for its windows of n = 10, 20, ..., 460.
2. With --large: 10,000 photos ranked among 10 million genomes, seconds and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np

from linkbench.api.data import Artefact, Cohort, Genomes, one_hot, strings
from linkbench.api.schema import PAPER
from linkbench.attackers.calibrated import Calibrated
from linkbench.attackers.predicted import Predicted
from linkbench.cohorts.paper_tables import PaperTablesCohort
from linkbench.genomes.paper_tables import PaperTables
from linkbench.metrics import ranking
from linkbench.metrics.counting import count_ranks
from linkbench.stages.evidence import gather, own_scores

AUTHORS_SECONDS = 294.0


def paper_curves() -> None:
    genomes = PaperTables(setting="realistic").build(0)
    people = PaperTablesCohort().build(genomes, 0)
    predicted = Artefact({"photo": np.arange(len(people)), "probabilities": people.predictions}, {})
    sizes = np.arange(10, len(genomes) + 1)
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        scores = own_scores(Predicted(), genomes, gather(Predicted(), people, predicted, {}, 0))
        ranks = count_ranks(scores)
        curves = ranking.success_curves(ranks, len(genomes), (1, 3, 5), sizes)
        times.append(time.perf_counter() - begun)
    own = statistics.median(times)
    print(f"paper's matching, {len(sizes)} sizes x {len(curves)} k: {own:.4f} s, median of {len(times)}")
    print(f"  authors' script {AUTHORS_SECONDS:.0f} s: {AUTHORS_SECONDS / own:,.0f} times slower")


def large(photos: int, size: int) -> None:
    random = np.random.default_rng(0)
    log_p = np.empty((size, PAPER.width))
    for start in range(0, size, 1 << 18):
        block = log_p[start : start + (1 << 18)]
        random.random(out=block)
        np.log(block, out=block)
    genomes = Genomes(PAPER, strings(["none"]), log_p)
    variants = np.stack([random.integers(0, len(PAPER[name]), photos) for name in PAPER], axis=1)
    truth = random.integers(0, size, photos)
    people = Cohort(PAPER, strings(["none"]), np.arange(photos), variants, truth, np.full(photos, 2))
    seen = Artefact({"photo": np.arange(photos), "probabilities": one_hot(variants, PAPER)}, {})
    for attacker in (Predicted(), Calibrated()):
        begun = time.perf_counter()
        ranks = count_ranks(own_scores(attacker, genomes, gather(attacker, people, seen, {"clean": seen}, 0)))
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        name = type(attacker).__name__.lower()
        print(f"{name}: {photos:,} photos x {size:,} genomes ranked in {seconds:.1f} s, peak memory {peak:.2f} GB")
        assert int(ranks.better.max()) < size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also rank 10,000 photos among 10 million genomes")
    arguments = parser.parse_args()
    paper_curves()
    if arguments.large:
        large(10_000, 10_000_000)
