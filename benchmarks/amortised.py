"""A cloak in one pass against the steps that it stands for: python benchmarks/amortised.py [--photos paper-release]

`amortised` beside its teacher `decoy-pgd` at the same epsilon, white box: the processor time of a photo; success@1
among 10 of the attacker who does not know the tool and of the one who calibrated on photos that he protected himself,
with the difference, paired over people. Prints markdown.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from frontier import people

import linkbench as lb
from linkbench.metrics.comparison import p_values
from linkbench.metrics.intervals import DIFFERENCE, interval
from linkbench.results.conclusions import reached

EPSILON, SIZE, ROUNDS = 0.025, 10, 5


def scenario(photos: str | None, count: int, seeds: int) -> dict[str, Any]:
    return {
        "linkbench": 1,
        "name": "amortised",
        "seed": list(range(seeds)),
        **people(photos, count),
        "models": [{"name": "standard", "architecture": "small-cnn", "recipe": "standard"}],
        "defenders": ["none", *({"use": use, "epsilon": EPSILON} for use in ("decoy-pgd", "amortised"))],
        "channels": ["png"],
        "attackers": ["predicted", {"use": "likelihood", "learns": "protected"}],
        "measure": {"top_k": [1], "sizes": [SIZE]},
    }


def success(results: lb.Results, defender: str, attacker: str) -> lb.Array:
    """float64 [people], of each over all seeds, as conclusions do: seeds do not make one person several."""
    cells = [one for one in results.cells if (one.defender, one.attacker) == (defender, attacker)]
    parts = [each for cell in cells for each in reached([results.load_ranks(cell.ids[0])], 1, SIZE)]
    _, who = np.unique(np.concatenate([each.identity for each in parts]), return_inverse=True)
    out: lb.Array = np.bincount(who, np.concatenate([each.success for each in parts])) / np.bincount(who)
    return out


def seconds(photos: int, size: int = 64) -> dict[str, float]:
    """Processor time of a photo, the shortest of several rounds; networks untrained, for time does not see weights."""
    import torch

    from linkbench.api.knowledge import Knowledge, StudySet
    from linkbench.api.schema import PAPER
    from linkbench.defenders.amortised import Amortised
    from linkbench.defenders.decoy_pgd import DecoyPGD
    from linkbench.models.predictor import Predictor
    from linkbench.models.small_cnn import SmallCNN

    shown = torch.rand(photos, 3, size, size)
    network = Predictor(SmallCNN().build(PAPER, size), PAPER).eval().requires_grad_(False)
    keys = np.arange(photos)
    study = StudySet(PAPER, lambda index: shown[index], keys, None, keys + photos, size, "cpu", 0, network)
    out = {}
    for defender in (DecoyPGD(epsilon=EPSILON), Amortised(epsilon=EPSILON, steps=1)):
        known = Knowledge(PAPER, tuple(keys.tolist()), 0, predictor=network, learned=defender.learn(study))
        spent = []
        for _ in range(ROUNDS):
            start = time.process_time()
            defender.perturb(shown, known)
            spent.append(time.process_time() - start)
        out[type(defender).__name__] = min(spent) / photos
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", help="folder of the paper's release")
    parser.add_argument("--count", type=int, default=456, help="rendered photos")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    spent = seconds(64)
    each = ", ".join(f"{name} {1000 * value:.2f} ms" for name, value in spent.items())
    print(f"{each}; ratio {spent['DecoyPGD'] / spent['Amortised']:.0f}\n", flush=True)
    results = lb.run(scenario(options.photos, options.count, options.seeds))
    print("| attacker | none | decoy-pgd | amortised | amortised less decoy-pgd | p |\n|---|---|---|---|---|---|")
    for attacker in ("predicted", "likelihood"):
        found = {name: success(results, name, attacker) for name in ("none", "decoy-pgd", "amortised")}
        more = (found["amortised"] - found["decoy-pgd"])[:, None]
        low, high = interval(more, np.arange(len(more)), ends=DIFFERENCE)[:, 0]
        means = " | ".join(f"{value.mean():.3f}" for value in found.values())
        print(f"| {attacker} | {means} | {more.mean():+.3f} [{low:+.3f}, {high:+.3f}] | {p_values(more)[0]:.3f} |")


if __name__ == "__main__":
    main()
