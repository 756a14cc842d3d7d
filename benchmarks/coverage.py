"""How often intervals hold the truth, how often tests err, and how often they find: by simulation.

    python benchmarks/coverage.py [--trials 4000]

Values are those that linkbench measures: one photo a person, either found or not (`0/1`); the expected success in a
random population of 100 by the rank of the true genome (`rank`); several photos a person, alike within the person
(`several`). Tests: pairs of defences that are equally good, with the same distribution of success (`same`), or with
another one of the same mean, found for few people or a little for everybody (`other shape`), which fools tests that
rest on symmetry. Prints markdown; seeded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from linkbench.metrics.comparison import all_pairs, by_person, p_values, people_needed
from linkbench.metrics.intervals import SHARE, interval

Array = npt.NDArray[Any]
RATES = (0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
PEOPLE = (40, 100, 400, 1000, 2000)
POPULATION = 100
GRID = (np.arange(20_000) + 0.5) / 20_000
PHI = np.vectorize(NormalDist().cdf)(np.linspace(-6.0, 6.0, 4001))


def found(uniform: Array, rate: float) -> Array:
    """Whether a photo's genome is named, 0 or 1."""
    return (uniform < rate).astype(np.float64)


def by_rank(uniform: Array, rate: float) -> Array:
    """Expected success in a population of 100; a share u**a of all genomes is better than the true one."""
    low, high = -8.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2.0
        mean = ((1.0 - GRID ** np.exp(middle)) ** (POPULATION - 1)).mean()
        low, high = (middle, high) if mean < rate else (low, middle)
    success: Array = (1.0 - uniform ** np.exp(low)) ** (POPULATION - 1)
    return success


KINDS: dict[str, Callable[[Array, float], Array]] = {"0/1": found, "rank": by_rank}


def together(random: np.random.Generator, shape: tuple[int, ...], likeness: float) -> Array:
    """Uniform numbers whose normal scores have this correlation along the last axis."""
    common = random.standard_normal((*shape[:-1], 1)) * likeness**0.5
    normal = common + random.standard_normal(shape) * (1.0 - likeness) ** 0.5
    return np.interp(normal, np.linspace(-6.0, 6.0, 4001), PHI)


def coverage(kind: str, people: int, rate: float, trials: int, seed: int = 0) -> tuple[float, float]:
    """How often the 95 % interval holds the rate, and its mean width."""
    random = np.random.default_rng([seed, people, int(1000 * rate)])
    if kind == "several":
        photos = random.integers(1, 6, people)  # one to five each
        who = np.repeat(np.arange(people), photos)
        uniform = np.empty((len(who), trials))
        for trial in range(trials):
            uniform[:, trial] = together(random, (people, 5), 0.5)[np.arange(5) < photos[:, None]]
        values = by_rank(uniform, rate)
    else:
        who = np.arange(people)
        values = KINDS[kind](random.random((people, trials)), rate)
    low, high = interval(values, who, ends=SHARE, seed=seed)
    return float(np.mean((low <= rate) & (rate <= high))), float(np.mean(high - low))


def percentile(kind: str, people: int, rate: float, trials: int, seed: int = 0) -> float:
    """The same for percentiles of the plain bootstrap over people, to compare."""
    random = np.random.default_rng([seed, people, int(1000 * rate)])
    values = KINDS[kind](random.random((people, trials)), rate)
    times = random.multinomial(people, np.full(people, 1.0 / people), size=1000) / people
    low, high = np.quantile(times @ values, [0.025, 0.975], axis=0)
    return float(np.mean((low <= rate) & (rate <= high)))


def pair(kind: str, people: int, rates: tuple[float, float], trials: int, seed: int = 0) -> Array:
    """Differences float64 [people, trials] of two defences that find the same people, mostly."""
    random = np.random.default_rng([seed, people, int(1000 * rates[0])])
    uniform = together(random, (people, trials, 2), 0.7)
    if kind == "other shape":
        return found(uniform[..., 0], rates[0]) - rates[1]
    return KINDS[kind](uniform[..., 0], rates[0]) - KINDS[kind](uniform[..., 1], rates[1])


def flips(differences: Array, seed: int = 0) -> Array:
    """p-values of the test by changing signs, to compare: exact where differences are symmetric."""
    random = np.random.default_rng(seed)
    signs = random.choice([-1.0, 1.0], (1999, len(differences)))
    total = np.abs(differences.sum(axis=0))
    as_large: Array = (np.abs(signs @ differences) >= total - 1e-9).sum(axis=0)
    return (1 + as_large) / 2000


def identical_board(random: np.random.Generator, people: int = 80, rows: int = 21, genomes: int = 503) -> Array:
    """Success [people, rows] of defences that all leave the same distribution of ranks to three attackers each; the
    strongest attacker counts."""
    uniform = together(random, (people, rows * 3), 0.8)
    rank = np.floor(genomes * uniform**2.5) / genomes
    success = ((1.0 - rank) ** (POPULATION - 1)).reshape(people, rows, 3)
    best = success.mean(axis=0).argmax(axis=1)
    chosen: Array = success[:, np.arange(rows), best]
    return by_person(chosen, np.arange(people))


def somebody_is_first(values: Array, level: float = 0.95) -> bool:
    """Whether one of the defences is told apart from all others."""
    rows = values.shape[1]
    adjusted = all_pairs(values).adjusted(np.ones((rows, rows), dtype=bool))
    first = int(np.argmin(values.mean(axis=0)))
    return all(adjusted[first, other] <= 1.0 - level for other in range(rows) if other != first)


def report(trials: int) -> Iterator[str]:
    """The tables, line by line."""
    yield "Coverage of 95 % intervals (in brackets: percentiles of the plain bootstrap), %"
    yield ""
    yield f"| values | people | {' | '.join(f'{rate:g}' for rate in RATES)} |"
    yield "|---|---:|" + "---:|" * len(RATES)
    for kind in ("0/1", "rank", "several"):
        for people in PEOPLE:
            shares = []
            for rate in RATES:
                held, _ = coverage(kind, people, rate, trials)
                plain = "" if kind == "several" else f" ({100 * percentile(kind, people, rate, trials):.0f})"
                shares.append(f"{100 * held:.1f}{plain}")
            yield f"| {kind} | {people} | {' | '.join(shares)} |"
    yield ""
    yield "Tests at 5 % of two defences that are equally good: found to differ, % (in brackets: by changing signs)"
    yield ""
    yield "| values | people | 0.02 | 0.1 | 0.5 | 0.9 |"
    yield "|---|---:|---:|---:|---:|---:|"
    for kind in ("0/1", "rank", "other shape"):
        for people in (40, 100, 400):
            wrong = []
            for rate in (0.02, 0.1, 0.5, 0.9):
                given = pair(kind, people, (rate, rate), trials)
                test, other = np.mean(p_values(given) <= 0.05), np.mean(flips(given) <= 0.05)
                wrong.append(f"{100 * test:.1f} ({100 * other:.1f})")
            yield f"| {kind} | {people} | {' | '.join(wrong)} |"
    yield ""
    yield "Power with as many people as are said to be needed for 80 %"
    yield ""
    yield "| values | success | error | people | found, % |"
    yield "|---|---|---:|---:|---:|"
    for kind in ("0/1", "rank"):
        for rates in ((0.05, 0.02), (0.1, 0.03), (0.1, 0.07), (0.3, 0.2), (0.6, 0.5)):
            for error in (0.05, 0.0005):
                large = pair(kind, 200_000, rates, 1)
                people = people_needed(float(large.mean()), float(large.std()), error) or 0
                told = np.mean(p_values(pair(kind, people, rates, min(trials, 2000), 1)) <= error)
                yield f"| {kind} | {rates[0]:g}, {rates[1]:g} | {error:g} | {people} | {100 * told:.0f} |"
    yield ""
    random = np.random.default_rng(0)
    boards = 1000
    first = sum(somebody_is_first(identical_board(random)) for _ in range(boards))
    yield f"Boards of 21 identical defences on which one is told apart from all others: {first} of {boards}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=4000)
    for line in report(parser.parse_args().trials):
        print(line, flush=True)
