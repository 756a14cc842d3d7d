"""Large networks that learn on several devices at once: each takes a share of every batch (DistributedDataParallel).

The training goes on in one process, which draws batches, changes photos, looks at validation photos and stops. Beside
it is one process for each further device. It hears whole batches, and all of them update their copies of the network by
the gradient of the whole batch. Photos are augmented before they are shared out; dropout is drawn for each share.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from linkbench.api.cores import one_thread
from linkbench.errors import InputError
from linkbench.models.heads import Head, Share
from linkbench.models.networks import Part

LARGE = 50_000_000
"""Parameters of a network from which on a step is work enough to be shared: gradients of all of them travel at each
step, and processes take seconds to start. Of linkbench's own networks only vggface16, with 134 million, has as many."""

FEWEST = 8
"""Photos of a batch that each device must get at least: fewer leave it idle while gradients travel."""

WAIT = timedelta(minutes=30)
"""How long the processes wait for each other; validation photos are looked at by the first alone."""

KNOWN = ("torch", "linkbench")
"""Packages whose modules another process can make and that treat photos as is known here."""


def devices_for(heads: Sequence[Head], device: str, batch: int) -> list[str]:
    """The devices that shall share batches of at least so many photos; the given one alone where that is no gain.

    Several only for `cuda` without a number, for large networks of single phenotypes that treat photos independently
    (batch normalisation does not) and consist of known modules, and where processes may talk to each other.
    """
    if device != "cuda" or not all(_suits(head) for head in heads):
        return [device]
    if any(parameter.device.index for head in heads for parameter in head.network.parameters()):
        return [device]  # somebody made another GPU the one that `cuda` means
    count = min(torch.cuda.device_count(), batch // FEWEST)
    if count < 2 or not dist.is_available() or dist.is_initialized() or not _may_connect():
        return [device]
    return [f"cuda:{number}" for number in range(count)]


def _suits(head: Head) -> bool:
    known = all(type(each).__module__.partition(".")[0] in KNOWN for each in head.network.modules())
    coupled = any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in head.network.modules())
    size = sum(parameter.numel() for parameter in head.network.parameters() if parameter.requires_grad)
    return known and not coupled and size >= LARGE and len(head.phenotypes) == 1


def _may_connect() -> bool:
    """Whether this process may open sockets; that of a foreign plugin may not."""
    try:
        socket.socket().close()
    except OSError:
        return False
    return True


class Together:
    """The first of several processes that train the same networks."""

    def __init__(self, device: str, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.device = torch.device(device)
        self.processes = processes

    def tell(self, number: int, photos: Tensor, labels: Tensor, rate: float, seed: int) -> None:
        """Have the others make the step of a network, which this process must make too: see `Head.step`.

        Raises InputError where one of them has ended.
        """
        for rank, process in enumerate(self.processes, start=1):
            if process.poll() is not None:
                raise _ended(rank, process)
        told = (number, tuple(photos.shape), photos.dtype, labels.cpu(), rate, seed)
        dist.broadcast_object_list([told], src=0, device=self.device)
        dist.broadcast(photos.contiguous(), src=0)

    def end(self) -> None:
        """Have the others end."""
        dist.broadcast_object_list([None], src=0, device=self.device)
        for process in self.processes:
            process.wait(WAIT.total_seconds())


@contextlib.contextmanager
def together(heads: Sequence[Head], devices: Sequence[str]) -> Iterator[Together]:
    """Networks, as far as they have learned, that each learn on all devices inside; they lie on the first."""
    paths = os.pathsep.join(path for path in sys.path if path)
    code = f"from {__name__} import work; work()"
    with tempfile.TemporaryDirectory(prefix="linkbench-together-") as folder, contextlib.ExitStack() as stack:
        told = [(head.network, head.phenotypes, head.losses, head.optimiser.state_dict()) for head in heads]
        torch.save(told, Path(folder) / "heads")
        processes = []
        for rank in range(1, len(devices)):
            process = subprocess.Popen(
                [sys.executable, "-c", code, folder, str(rank), str(len(devices)), devices[rank]],
                stdin=subprocess.PIPE,  # it closes when this process ends, however that happens
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths},
            )
            stack.callback(_end, process)
            processes.append(process)
        for rank, process in enumerate(processes, start=1):
            assert process.stdout is not None
            if not process.stdout.readline():  # whoever never came would be waited for
                raise _ended(rank, process)
        stack.enter_context(_joined(heads, folder, 0, len(devices), devices[0]))
        all_of_us = Together(devices[0], processes)
        yield all_of_us
        all_of_us.end()


def _ended(rank: int, process: subprocess.Popen[bytes]) -> InputError:
    return InputError(
        f"the process that trains on GPU {rank} ended with exit status {process.wait()}; what it said stands above. "
        f"With --device cuda:0 one GPU trains"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@contextlib.contextmanager
def _joined(heads: Sequence[Head], folder: str, rank: int, count: int, device: str) -> Iterator[None]:
    """Be one of the processes inside: gradients of the networks are those of all shares."""
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group(
        "nccl" if place.type == "cuda" else "gloo",
        (Path(folder) / "meet").absolute().as_uri(),
        WAIT,
        world_size=count,
        rank=rank,
    )
    try:
        for head in heads:
            numbers = [place.index] if place.type == "cuda" else None
            head.learner = DistributedDataParallel(head.network, device_ids=numbers)
            head.share = Share(rank, count)
        yield
    finally:
        for head in heads:
            head.learner, head.share = head.network, Share()
        dist.destroy_process_group()


def work() -> None:
    """The main program of a further process. Arguments: folder, rank, number of processes, device."""
    folder, rank, count, device = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first decides what an interrupt ends
    threading.Thread(target=_end_with_first, daemon=True).start()
    heads = _read(Path(folder) / "heads", device)
    print("ready", flush=True)
    with one_thread(), _joined(heads, folder, int(rank), int(count), device):
        for head in heads:
            head.network.train()
        while True:
            heard = [None]
            dist.broadcast_object_list(heard, src=0, device=torch.device(device))
            if heard[0] is None:
                break
            number, shape, kind, labels, rate, seed = heard[0]
            photos = torch.empty(shape, dtype=kind, device=device)
            dist.broadcast(photos, src=0)
            photos = photos.contiguous(memory_format=torch.channels_last)
            heads[number].step(photos, labels.to(device), rate, seed)
    os._exit(0)  # threads of the backend may outlive their objects, and would bring an orderly end down


def _read(file: Path, device: str) -> list[Head]:
    """Networks as the first process wrote them. Nothing is made of them but tensors and objects of KNOWN packages."""
    classes: list[Any] = []
    for name in torch.serialization.get_unsafe_globals_in_checkpoint(file):
        module, _, attribute = name.rpartition(".")
        known = module.partition(".")[0] in KNOWN or name == "builtins.slice"  # places of phenotypes among the logits
        found = getattr(importlib.import_module(module), attribute) if known else None
        if not isinstance(found, type):
            raise InputError(f"{name} cannot go to another GPU's process; train on one, with --device cuda:0")
        classes.append(found)
    with torch.serialization.safe_globals(classes):
        told = torch.load(file, map_location=device, weights_only=True)
    heads = []
    for network, phenotypes, losses, state in told:
        heads.append(Head(Part(network, phenotypes), losses, rate=0.0, weight_decay=0.0))
        heads[-1].optimiser.load_state_dict(state)
    return heads


def _end_with_first() -> None:
    os.read(0, 1)  # nothing is ever written; Python would find its own stdin locked when it ends
    os._exit(1)
