"""Processor seconds that each poison takes for 1,000 photos, learning included. Run: python benchmarks/poisons.py

--size: edge of the photos in pixels; --count: how many. One thread.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from linkbench.api import seeds
from linkbench.api.base import Defender
from linkbench.api.knowledge import Knowledge, StudySet
from linkbench.api.schema import PAPER
from linkbench.defenders.convolution import Convolution
from linkbench.defenders.shortcut import Shortcut
from linkbench.stages.protect import batches

PATTERNS = ("mean-shift", "rademacher", "lsp", "one-pixel", "autoregressive")


def seconds(poison: Defender, photos: torch.Tensor, labels: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> float:
    """Seconds of the processor for 1,000 photos, float32 [n, 3, h, w]; all combinations of labels are classes."""
    rows = np.arange(len(photos))
    begun = time.process_time()
    study_set = StudySet(
        PAPER, lambda index: photos[torch.from_numpy(index)], rows, labels, rows, photos.shape[-1], "cpu", 0
    )
    learned = poison.learn(study_set)
    for part in batches(len(photos), tuple(photos.shape), "cpu"):
        known = Knowledge(PAPER, tuple(rows[part]), 0, labels=torch.from_numpy(labels[part]), learned=learned)
        poison.perturb(photos[part], known)
    return (time.process_time() - begun) * 1000 / len(photos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    random = seeds.generator(0, "speed")
    photos = torch.from_numpy(random.random((given.count, 3, given.size, given.size), dtype=np.float32))
    labels = np.stack([random.integers(0, len(PAPER[name]), given.count) for name in PAPER], axis=1)
    poisons: dict[str, Defender] = {name: Shortcut.model_validate({"pattern": name}) for name in PATTERNS}
    poisons["convolution"] = Convolution()
    print(f"seconds of the processor for 1,000 photos of {given.size} px, 54 classes")
    for name, poison in poisons.items():
        print(f"{name:>15}: {seconds(poison, photos, labels):6.2f}", flush=True)


if __name__ == "__main__":
    main()
