"""Speed of the gradient defenders as ratios, measured side by side in one process: python benchmarks/defences.py

joint-pgd, one photo and step, against the bare forward and backward passes of the same four networks (at most 1.05);
single-pgd against torchattacks (at least 1.0 times as fast) and ART (at least 1.1): PGD-20, 128 photos of 64 px, one
small network. Repeats of all contestants are interleaved; the ratio is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from linkbench.api.knowledge import Knowledge
from linkbench.api.schema import PAPER
from linkbench.defenders.joint_pgd import JointPGD
from linkbench.defenders.single_pgd import SinglePGD
from linkbench.models.folding import fold
from linkbench.models.predictor import Predictor
from linkbench.models.small_cnn import SmallCNN

STEPS, EPSILON = 20, 8 / 255
CLOCK = "wall"
"""What is timed; `cpu` is steadier where other programs are running."""


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def interleaved(contestants: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, in turn; one round before is not counted."""
    out: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        order = list(contestants) if number % 2 else list(contestants)[::-1]
        for name in order:
            _wait(device)
            start = CLOCKS[CLOCK]()
            contestants[name]()
            _wait(device)
            if number:
                out[name].append(CLOCKS[CLOCK]() - start)
    return out


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def people(count: int, size: int, device: str) -> tuple[Tensor, Predictor, Predictor, Knowledge]:
    """Random photos, four untrained networks as built and as linkbench loads them, and all that a defender may know."""
    torch.manual_seed(0)
    photos = torch.rand(count, 3, size, size).to(device).contiguous(memory_format=torch.channels_last)
    network = SmallCNN().build(PAPER, size).to(device=device, memory_format=torch.channels_last)
    built = Predictor(copy.deepcopy(network), PAPER).eval().requires_grad_(False)
    predictor = Predictor(fold(network.eval()), PAPER).eval().requires_grad_(False)
    log_p = torch.randn(count + 1024, PAPER.width, dtype=torch.float64, device=device)
    log_p = torch.cat([log_p[:, span].log_softmax(1) for span in PAPER.slices.values()], dim=1)
    labels = torch.zeros(count, len(PAPER), dtype=torch.int64, device=device)
    known = Knowledge(PAPER, tuple(range(count)), 0, predictor, log_p[:count], log_p[count:], labels)
    return photos, built, predictor, known


def joint(rounds: int, count: int, size: int, device: str) -> None:
    photos, _, predictor, known = people(count, size, device)

    def bare() -> None:
        point = photos.clone().requires_grad_(True)
        for _ in range(STEPS):
            torch.autograd.grad(predictor(point).sum(), point)

    contestants: dict[str, Callable[[], object]] = {"bare": bare}
    for objective in ("paper", "expected", "rank"):
        defender = JointPGD(epsilon=EPSILON, steps=STEPS, objective=objective)  # type: ignore[arg-type]
        contestants[objective] = lambda defender=defender: defender.perturb(photos, known)  # type: ignore[misc]
    seconds = interleaved(contestants, rounds, device)
    each = statistics.median(seconds["bare"]) / STEPS / count
    print(f"bare forward and backward of four networks: {each * 1e6:.1f} us a photo, {1 / each:,.0f} photos/s")
    for name in ("paper", "expected", "rank"):
        print(f"joint-pgd {name:9s} / bare, a photo and step: {ratio(seconds[name], seconds['bare']):.3f}")


class OnlyLogits(nn.Module):
    """What the other libraries call a classifier: the network of the first phenotype."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.network = next(iter(predictor.network.networks))  # type: ignore[arg-type]

    def forward(self, photos: Tensor) -> Tensor:
        out: Tensor = self.network(photos)
        return out


def single(rounds: int, count: int, size: int, device: str) -> None:
    photos, built, predictor, known = people(count, size, device)
    assert known.labels is not None
    labels = known.labels[:, 0]
    ours = SinglePGD(phenotype="sex", epsilon=EPSILON, step_size=2 / 255, steps=STEPS)
    contestants: dict[str, Callable[[], object]] = {"single-pgd": lambda: ours.perturb(photos, known)}
    network = OnlyLogits(built).eval()
    try:
        import torchattacks

        for label, one in (("torchattacks", network), ("torchattacks, folded network", OnlyLogits(predictor).eval())):
            attack = torchattacks.PGD(one, eps=EPSILON, alpha=2 / 255, steps=STEPS, random_start=False)
            contestants[label] = lambda attack=attack: attack(photos, labels)  # type: ignore[misc]
    except ImportError:
        print("torchattacks is not installed: left out")
    try:
        from art.attacks.evasion import ProjectedGradientDescentPyTorch
        from art.estimators.classification import PyTorchClassifier

        kind = "cpu" if device == "cpu" else "gpu"
        classifier = PyTorchClassifier(
            network, nn.CrossEntropyLoss(), (3, size, size), 2, clip_values=(0.0, 1.0), device_type=kind
        )
        art = ProjectedGradientDescentPyTorch(
            classifier, eps=EPSILON, eps_step=2 / 255, max_iter=STEPS, batch_size=count, verbose=False
        )
        plain, classes = photos.cpu().contiguous().numpy(), np.zeros(count, np.int64)
        contestants["ART"] = lambda: art.generate(plain, classes)
    except ImportError:
        print("adversarial-robustness-toolbox is not installed: left out")
    seconds = interleaved(contestants, rounds, device)
    for name, taken in seconds.items():
        faster = (
            f", single-pgd is {ratio(taken, seconds['single-pgd']):.2f} times as fast" if name != "single-pgd" else ""
        )
        print(f"{name:28s} PGD-{STEPS}, {count} photos: {statistics.median(taken):.3f} s{faster}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default=CLOCK)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    CLOCK = given.clock
    torch.set_num_threads(given.threads)
    name = torch.cuda.get_device_name() if given.device != "cpu" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}")
    joint(given.rounds, max(1, given.photos // 4), given.size, given.device)  # four networks: as long as the others
    single(given.rounds, given.photos, given.size, given.device)
