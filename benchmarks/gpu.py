"""All that decides how fast a device computes, in one command: python benchmarks/gpu.py --device cuda

batches: photos per second of predicting and of a PGD step, by photos at once, and the memory that they need;
precision: what TF32 and bfloat16 change in predictions and in the ranks of the true genomes; compiled: a PGD step
through torch.compile, with what it costs to compile; uploads: photos to the device from pinned memory and from other.

Networks have random weights of seed 0, photos random pixels: neither changes the time. What a device cannot do is named
as not run. With --device cpu everything runs that a CPU has; those figures say nothing about a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from linkbench.api.schema import PAPER
from linkbench.models.predictor import Predictor, place, upload
from linkbench.models.seeding import seeded
from linkbench.models.small_cnn import SmallCNN
from linkbench.models.vggface16 import VGGFace16

SIZES = {"small-cnn": 64, "vggface16": 224}
"""Edge of the photos in pixels."""

GENOMES = 500


def predictor(architecture: str, device: str) -> Predictor:
    """One network for each of the paper's phenotypes, weights drawn from seed 0, in evaluation mode."""
    with seeded("cpu", 0):
        plugin = SmallCNN() if architecture == "small-cnn" else VGGFace16()
        network: nn.Module = plugin.build(PAPER, SIZES[architecture])
    place(network, device)
    return Predictor(network, PAPER).eval().requires_grad_(False)


def photos(count: int, size: int) -> Tensor:
    """float32 [count, 3, size, size] from seed 0, on the CPU."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def seconds(work: Callable[[], object], device: str, rounds: int) -> float:
    """The median of some rounds, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def step(look: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """One step of PGD against every phenotype."""
    point = given.detach().requires_grad_()
    (slope,) = torch.autograd.grad(look(point).sum(), point)
    return given + slope.sign() / 255


def batches(architecture: str, device: str, most: int, rounds: int) -> None:
    """Photos per second by photos at once, until the memory is full."""
    judge, size = predictor(architecture, device), SIZES[architecture]
    count = 8
    while count <= most:
        given = upload(photos(count, size), device)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        try:
            with torch.inference_mode():
                look = seconds(lambda: judge(given), device, rounds)  # noqa: B023
            climb = seconds(lambda: step(judge, given), device, rounds)  # noqa: B023
        except torch.OutOfMemoryError:
            print(f"batches: {count} photos at once do not fit")
            return
        memory = "" if device == "cpu" else f", {torch.cuda.max_memory_allocated() / 1e9:.2f} GB"
        print(f"batches: {count:5d} at once: {count / look:8.0f} predicted/s, {count / climb:8.0f} PGD steps/s{memory}")
        count *= 2


def precision(architecture: str, device: str, count: int) -> None:
    """What a coarser arithmetic changes: log-probabilities, and the rank of each photo's own genome among GENOMES."""
    judge, given = predictor(architecture, device), upload(photos(count, SIZES[architecture]), device)
    draw = torch.Generator().manual_seed(1)
    genomes = torch.rand(GENOMES, PAPER.width, generator=draw, dtype=torch.float64).log()
    own = torch.randint(GENOMES, (count,), generator=draw)

    def ranks(log_probs: Tensor) -> Tensor:
        scores = log_probs.double().exp() @ genomes.T
        return (scores > scores.gather(1, own[:, None])).sum(dim=1)

    def seen() -> Tensor:
        with torch.inference_mode():
            return judge(given).float().cpu()

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        exact = seen()
        ways: dict[str, Any] = {"bfloat16": torch.autocast(torch.device(device).type, dtype=torch.bfloat16)}
        if device != "cpu":
            ways = {"TF32": contextlib.nullcontext(), **ways}
        for name, way in ways.items():
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "TF32"
            with way:
                found = seen()
            moved = int((ranks(found) != ranks(exact)).sum())
            far = float((found - exact).abs().max())
            print(f"precision: {name}: log-probabilities move by up to {far:.1e}, {moved} of {count} ranks change")
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    if device == "cpu":
        print("precision: TF32 NOT RUN: only CUDA has it")


def compiled(architecture: str, device: str, count: int, rounds: int) -> None:
    """A PGD step as it is and through torch.compile, on a GPU also with CUDA graphs."""
    judge, given = predictor(architecture, device), upload(photos(count, SIZES[architecture]), device)
    plain = seconds(lambda: step(judge, given), device, rounds)
    print(f"compiled: a PGD step of {count} photos as it is: {1000 * plain:.1f} ms")
    for mode in ("default",) if device == "cpu" else ("default", "reduce-overhead"):
        try:
            begun = time.perf_counter()
            look = torch.compile(judge.network, mode=mode)
            step(look, given)
            cost = time.perf_counter() - begun
            taken = seconds(lambda: step(look, given), device, rounds)  # noqa: B023
        except Exception as error:  # there may be no compiler
            print(f"compiled: {mode} NOT RUN: {type(error).__name__}: {str(error).strip().splitlines()[0][:160]}")
            continue
        print(f"compiled: {mode}: {1000 * taken:.1f} ms, ratio {taken / plain:.2f}, after {cost:.0f} s of compiling")


def uploads(device: str, count: int, rounds: int) -> None:
    """Photos to the device, as `upload` brings them and from ordinary memory."""
    if device == "cpu":
        print("uploads: NOT RUN: photos of a CPU stay where they are")
        return
    given = photos(count, 224)
    size = given.numel() * given.element_size() / 1e9
    for name, work in (("pinned", lambda: upload(given, device)), ("as it is", lambda: given.to(device))):
        print(f"uploads: {name}: {size / seconds(work, device, rounds):.1f} GB/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--architecture", choices=sorted(SIZES), default="vggface16")
    parser.add_argument("--most", type=int, default=4096, help="photos at once")
    parser.add_argument("--photos", type=int, default=256, help="of precision, compiled and uploads")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("NOT RUN: this torch sees no CUDA device. --device cpu measures what a CPU has")
    name = "CPU" if given.device == "cpu" else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {name}, {torch.get_num_threads()} threads, {given.architecture}, seed 0")
    batches(given.architecture, given.device, given.most, given.rounds)
    precision(given.architecture, given.device, given.photos)
    compiled(given.architecture, given.device, given.photos, given.rounds)
    uploads(given.device, given.photos, given.rounds)
