"""One mask per person, on photos that it was not made from: python benchmarks/masks.py

Rendered people with several photos, white box, channel png. Linkage: success@1 among 10 with `personal-mask`, for the
photos that its mask was made from and for the others, beside `decoy-pgd`, which looks at every photo. Identification:
the same tools in a gallery; protection rate, and how often protected photos of a person find each other. Prints
markdown.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import linkbench as lb
from linkbench.metrics.intervals import SHARE, interval
from linkbench.results.conclusions import reached

EACH, MADE_FROM, EPSILON, SIZE = 6, 3, 0.025, 10

TOOLS = ["none", {"use": "decoy-pgd", "epsilon": EPSILON}, {"use": "personal-mask", "epsilon": EPSILON}]


def scenario(count: int, seed: int, **parts: Any) -> dict[str, Any]:
    return {
        "linkbench": 1,
        "name": "masks",
        "seed": seed,
        "cohort": {"use": "rendered", "count": count, "per_identity": EACH},
        "defenders": TOOLS,
        "channels": ["png"],
        **parts,
    }


def linkage(count: int, seed: int) -> None:
    results = lb.run(scenario(
        count, seed,
        genomes="thousand-genomes",
        models=[{"name": "standard", "architecture": "small-cnn", "recipe": "standard"}],
        attackers=["predicted", {"use": "likelihood", "learns": "protected"}],
        measure={"top_k": [1], "sizes": [SIZE]},
    ))  # fmt: skip
    print("| attacker | defender | photos that masks are made from | other photos |\n|---|---|---|---|")
    for cell in results.cells:
        stored = results.load_ranks(cell.ids[0])
        (own,) = reached([stored], 1, SIZE)
        first = np.asarray(stored.array("photo")) % EACH < MADE_FROM
        texts = []
        for chosen in (first, ~first):
            low, high = interval(own.success[chosen, None], own.identity[chosen], ends=SHARE)[:, 0]
            texts.append(f"{own.success[chosen].mean():.3f} [{low:.3f}, {high:.3f}]")
        print(f"| {cell.attacker} | {cell.defender} | {' | '.join(texts)} |", flush=True)


def identification(count: int, seed: int) -> None:
    results = lb.run(scenario(
        count, seed,
        task="identification",
        models=[{"name": "embedding", "architecture": "small-cnn", "recipe": "embedding"}],
        identifiers=["nearest-neighbour"],
    ))  # fmt: skip
    print("\n| defender | protection rate | gallery photos match each other |\n|---|---|---|")
    for cell in results.cells:
        texts = [
            f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
            for value in (cell.metrics[name] for name in ("protection_rate", "gallery_match"))
        ]
        print(f"| {cell.defender} | {' | '.join(texts)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=720, help=f"photos, {EACH} of each person")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    linkage(options.count, options.seed)
    identification(options.count, options.seed)


if __name__ == "__main__":
    main()
