"""What is done side by side gives the same bytes on any number of cores as one by one."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from coloured import TOY, data
from torch import Tensor, nn

from linkbench.api.cores import one_thread
from linkbench.api.progress import advance, listening
from linkbench.models.networks import PerPhenotype
from linkbench.models.predictor import frozen
from linkbench.models.seeding import seeded
from linkbench.models.side_by_side import side_by_side
from linkbench.models.small_cnn import SmallCNN
from linkbench.models.training import Batch, Schedule, fit

CPU = torch.device("cpu")


@pytest.fixture(params=["1", "2", "5"], autouse=True)
def on_cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("OMP_NUM_THREADS", request.param)
    with one_thread():
        yield int(request.param)


def network(seed: int = 0, **parameters: object) -> nn.Module:
    with seeded("cpu", seed):
        return SmallCNN(**{"width": 4, "depth": 3, **parameters}).build(TOY, 32)


def test_results_come_in_order_and_errors_are_the_first(on_cores: int) -> None:
    assert side_by_side([lambda value=value: value * value for value in range(9)], CPU) == [n * n for n in range(9)]
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        if number in (2, 3):
            raise ValueError(str(number))
        return number

    with pytest.raises(ValueError, match="2"):
        side_by_side([lambda number=number: call(number) for number in range(20)], CPU)
    assert {0, 1, 2} <= set(begun)
    assert len(begun) <= 3 + on_cores, "after an error no further call begins"


def test_more_than_one_core_is_used_and_calls_inside_calls_come_one_by_one(on_cores: int) -> None:
    def who() -> int:
        time.sleep(0.02)
        return threading.get_ident()

    inside: list[list[int]] = side_by_side([lambda: side_by_side([who] * 3, CPU)] * 5, CPU)
    assert all(len(set(each)) == 1 for each in inside)
    assert (len({each[0] for each in inside}) > 1) == (on_cores > 1)


def test_helpers_compute_as_the_caller_does() -> None:
    def modes() -> tuple[bool, bool, int]:
        time.sleep(0.01)
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()

    for context, expected in ((torch.no_grad, (False, False)), (torch.inference_mode, (False, True))):
        with context():
            assert side_by_side([modes] * 4, CPU) == [(*expected, 1)] * 4
    assert side_by_side([modes] * 4, CPU) == [(True, False, 1)] * 4
    heard: list[tuple[int, int]] = []
    with listening(lambda done, total, at: heard.append((done, total))):
        side_by_side([lambda: advance(1, 2)] * 3, CPU)
    assert heard == [(1, 2)] * 3


@pytest.mark.parametrize("shared", [False, True])
def test_training_gives_the_bytes_of_one_core(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout, which draws; with networks that stop at different times; and with an attack on all of them."""

    def attack(net: nn.Module) -> Callable[[Tensor, Batch], Tensor]:
        def attacked(photos: Tensor, batch: Batch) -> Tensor:
            with frozen(net):
                point = photos.clone().requires_grad_()
                (slope,) = torch.autograd.grad(net(point).square().sum(), point)
            return (photos + 0.01 * slope.sign() + 0.001 * torch.rand_like(photos)).clamp(0, 1)

        return attacked

    def trained(attacks: bool) -> tuple[dict[str, Tensor], list[object]]:
        net = network(shared=shared, dropout=0.5)
        plan = Schedule(epochs=4, learning_rate=0.05, patience=1, schedule="constant")
        report = fit(net, dataclasses.replace(data(32), seed=3), plan, attack(net) if attacks else None)
        return net.state_dict(), [*report.history, report.best]

    for attacks in (False, True):
        here = trained(attacks)
        with monkeypatch.context() as alone:
            alone.setenv("OMP_NUM_THREADS", "1")
            torch.set_num_threads(3)  # somebody's own setting, outside a run
            there = trained(attacks)
            assert torch.get_num_threads() == 3
            torch.set_num_threads(1)
        assert all(torch.equal(value, there[0][name]) for name, value in here[0].items())
        assert here[1] == there[1]


def test_networks_that_do_not_learn_look_side_by_side() -> None:
    """Logits, gradients, gradients of gradients and second passes are those of the networks one after the other."""
    net = network()
    assert isinstance(net, PerPhenotype)
    net.eval().requires_grad_(False)
    photos = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def plain(given: Tensor) -> Tensor:
        return torch.cat([each(given) for each in net.networks], dim=1)

    weights = torch.rand(5, TOY.width, generator=torch.Generator().manual_seed(1))
    grad = torch.autograd.grad
    assert torch.equal(net(photos), plain(photos))
    assert torch.equal(grad(net(photos), photos, weights)[0], grad(plain(photos), photos, weights)[0])
    with torch.no_grad():
        assert torch.equal(net(photos), plain(photos))
    out = net(photos)
    first = grad(out, photos, weights, retain_graph=True)[0]
    assert torch.equal(first, grad(out, photos, weights)[0])

    def twice(look: Callable[[Tensor], Tensor]) -> Tensor:
        (slope,) = grad(look(photos).log_softmax(1).square().sum(), photos, create_graph=True)
        return grad(slope.square().sum(), photos)[0]

    assert torch.equal(twice(net), twice(plain))
    net.requires_grad_(True)
    net(photos).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters()), "weights that learn get their gradients"
