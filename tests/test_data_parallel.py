"""Processes that share batches learn what one process learns, and only large networks on several GPUs are shared."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from coloured import TOY, data
from torch import Tensor, nn

from linkbench.api.data import MISSING
from linkbench.api.training_data import TrainingData
from linkbench.errors import InputError
from linkbench.models import data_parallel, training
from linkbench.models.heads import Head
from linkbench.models.losses import Losses
from linkbench.models.networks import PerPhenotype
from linkbench.models.predictor import parts_of
from linkbench.models.seeding import seeded
from linkbench.models.training import Batch, Schedule, fit

PLAN = Schedule(epochs=3, learning_rate=0.002, patience=3, batch=15)


def network(*, normalised: bool = False) -> PerPhenotype:
    def make(classes: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(3, 4, 5, 2), nn.BatchNorm2d(4) if normalised else nn.Identity()]
        return nn.Sequential(*layers, nn.Tanh(), nn.AvgPool2d(7), nn.Flatten(), nn.Linear(16, classes))

    with seeded("cpu", 0):
        return PerPhenotype(TOY, make)


def room() -> TrainingData:
    """60 photos, in batches of 15 that two cannot halve; labels are missing unevenly."""
    found = data(60, 12)
    found.training.labels[::5, 0] = found.training.labels[:25, 1] = MISSING
    return found


def heads(net: nn.Module) -> list[Head]:
    losses = Losses(TOY, data(12).training.labels, 1.0, "cpu")
    return [Head(part, losses, 0.01, 0.0) for part in parts_of(net, TOY)]


def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "devices_for", lambda *_: ["cpu", "cpu"])


def each_its_own(photos: Tensor, batch: Batch) -> list[Tensor]:
    return [photos, 1 - photos]


def test_two_processes_learn_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, both, begun = network(), network(), network()
    expected = fit(alone, room(), PLAN, each_its_own)
    shared(monkeypatch)
    steps: list[int] = []
    tell = data_parallel.Together.tell

    def counted(self: data_parallel.Together, number: int, *told: Any) -> None:
        steps.append(number)
        tell(self, number, *told)

    monkeypatch.setattr(data_parallel.Together, "tell", counted)
    found = fit(both, room(), PLAN, each_its_own)
    assert steps == [0, 1] * 12
    assert found.best == expected.best
    for one, other in zip(found.history, expected.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        for name in TOY:
            assert one["validation"][name] == pytest.approx(other["validation"][name], rel=1e-4)
    weights = zip(both.parameters(), alone.parameters(), begun.parameters(), strict=True)
    for mine, its, first in weights:
        assert torch.allclose(mine, its, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(mine, first, rtol=1e-3, atol=1e-4)
        assert mine.grad is not None
        assert its.grad is not None
        assert torch.allclose(mine.grad, its.grad, rtol=1e-2, atol=1e-5), "AdamW would forgive another scale"
    assert not dist.is_initialized()


def test_networks_that_have_learned_go_on_together() -> None:
    photos = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[row % 2, row % 3] for row in range(9)])
    alone, both = heads(network()), heads(network())
    for step in range(4):
        expected = [head.step(photos, labels, 0.002, step) for head in alone]
        if step < 2:
            found = [head.step(photos, labels, 0.002, step) for head in both]
    with data_parallel.together(both, ["cpu", "cpu"]) as others:
        for step in (2, 3):
            found = []
            for number, head in enumerate(both):
                others.tell(number, photos, labels, 0.002, step)
                found.append(head.step(photos, labels, 0.002, step))
    assert [process.returncode for process in others.processes] == [0]
    assert torch.allclose(torch.stack(found), torch.stack(expected), rtol=1e-5)
    for mine, its in zip(both, alone, strict=True):
        assert mine.learner is mine.network
        for one, other in zip(mine.network.parameters(), its.network.parameters(), strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


def test_shares_of_a_batch_sum_to_its_loss() -> None:
    (head, _), known = heads(network()), torch.tensor([0, 1, MISSING, MISSING, MISSING, 1, 0])
    logits = torch.randn(7, 2, generator=torch.Generator().manual_seed(1))
    whole = head.losses.mean(logits, known, 0)
    pairs = zip(logits.tensor_split(3), known.tensor_split(3), strict=True)
    parts = [head.losses.mean(part, labels, 0, known) for part, labels in pairs]
    assert math.isclose(float(sum(parts)), float(whole), rel_tol=1e-6)


def test_a_process_that_dies_ends_the_training_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shared(monkeypatch)
    tell = data_parallel.Together.tell

    def killing(self: data_parallel.Together, *told: Any) -> None:
        self.processes[0].send_signal(signal.SIGKILL)
        self.processes[0].wait()
        tell(self, *told)

    monkeypatch.setattr(data_parallel.Together, "tell", killing)
    with pytest.raises(InputError, match="GPU 1 ended with exit status -9"):
        fit(network(), room(), PLAN)
    assert not dist.is_initialized()


def test_nothing_but_tensors_and_known_classes_is_read(tmp_path: Path) -> None:
    class Sly:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    torch.save([Sly()], tmp_path / "heads")
    with pytest.raises(InputError, match="cannot go to another GPU's process"):
        data_parallel._read(tmp_path / "heads", "cpu")
    assert not (tmp_path / "touched").exists()


def test_only_large_networks_on_several_gpus_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    net = heads(network())
    assert data_parallel.devices_for(net, "cuda", 64) == ["cuda"], "small networks are not"
    monkeypatch.setattr(data_parallel, "LARGE", 100)
    devices = [f"cuda:{number}" for number in range(4)]
    assert data_parallel.devices_for(net, "cuda", 64) == devices
    assert data_parallel.devices_for(net, "cuda", 31) == devices[:3], "no share is below eight photos"
    assert data_parallel.devices_for(net, "cuda", 15) == ["cuda"]
    for device in ("cpu", "cuda:0", "cuda:1"):
        assert data_parallel.devices_for(net, device, 64) == [device]
    assert data_parallel.devices_for(heads(network(normalised=True)), "cuda", 64) == ["cuda"]
    assert data_parallel.devices_for(heads(nn.Sequential(nn.Flatten(), nn.Linear(3072, 5))), "cuda", 64) == ["cuda"]

    class Foreign(nn.Tanh):
        pass

    foreign = PerPhenotype(TOY, lambda _: nn.Sequential(nn.Linear(9, 99), Foreign()))
    assert data_parallel.devices_for(heads(foreign), "cuda", 64) == ["cuda"]
    with monkeypatch.context() as closed:
        closed.setattr(data_parallel, "_may_connect", lambda: False)
        assert data_parallel.devices_for(net, "cuda", 64) == ["cuda"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert data_parallel.devices_for(net, "cuda", 64) == ["cuda"]


def test_of_the_shipped_networks_only_the_papers_is_large() -> None:
    from linkbench.models.dlib_network import DlibNetwork
    from linkbench.models.networks import VGG16, ResidualNetwork

    with torch.device("meta"):
        paper = VGG16(2, 64, 4096, 0.5)
    others = [DlibNetwork(2, False), ResidualNetwork(2, 64, 2, 0.0, 2)]
    count = lambda net: sum(weights.numel() for weights in net.parameters())  # noqa: E731
    assert count(paper) > data_parallel.LARGE > 2 * max(map(count, others))
