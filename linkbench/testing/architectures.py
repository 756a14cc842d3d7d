"""What linkbench expects of an architecture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from linkbench.api.base import Architecture
from linkbench.errors import InputError
from linkbench.execution.stdout import captured
from linkbench.models.predictor import evaluating
from linkbench.testing import fixtures
from linkbench.testing.check import Subject
from linkbench.testing.common import silent
from linkbench.testing.tables import SCHEMA

SIZES = (32, 64, 150, 224)
"""Edges in pixels that an architecture is tried with; the first that it accepts."""


class Built(NamedTuple):
    """A network, the edge of its photos, and what was printed while it was built."""

    network: nn.Module
    size: int
    said: str


def _build(architecture: Architecture, seed: int = 3) -> Built:
    refused = ""
    for size in SIZES:
        with captured() as printed, fixtures.chance(seed):
            try:
                network = architecture.build(SCHEMA, size)
            except InputError as error:
                refused = str(error)
                continue
        assert isinstance(network, nn.Module), (
            f"build must return a torch.nn.Module, it returned {type(network).__name__}"
        )
        return Built(network, size, printed.text)
    raise AssertionError(f"it accepts photos of none of {', '.join(map(str, SIZES))} px: {refused}")


def _built(subject: Subject) -> Built:
    return _build(subject.plugin())


def _once(subject: Subject) -> Built:
    built: Built = subject.once(_built)
    return built


def photos_become_logits(subject: Subject) -> None:
    """[n, 3, size, size] to finite [n, V], in evaluation and in training mode."""
    network, size, _ = _once(subject)
    photos = fixtures.photos(2, size)
    with captured():
        for training in (False, True):
            network.train(training)
            out = network(photos)
            mode = "training" if training else "evaluation"
            wanted = (2, SCHEMA.width)
            assert isinstance(out, Tensor), f"in {mode} mode the network gives {type(out).__name__}, not a tensor"
            assert tuple(out.shape) == wanted, (
                f"in {mode} mode the logits have shape {tuple(out.shape)}, expected {wanted}"
            )
            assert torch.isfinite(out).all(), f"in {mode} mode logits are NaN or infinite"


def same_seed_same_weights(subject: Subject) -> None:
    """Weights are drawn from torch's global generator, which the harness seeds."""
    one, two = _once(subject).network.state_dict(), _build(subject.plugin()).network.state_dict()
    assert list(one) == list(two), "the names of the weights differ between two networks"
    # running statistics have moved in training mode
    names = [name for name, _ in _once(subject).network.named_parameters()]
    differ = [name for name in names if not torch.equal(one[name], two[name])]
    assert not differ, f"weights {differ[0]!r} differ between two networks of the same seed"
    assert names, "the network has no weights that could be trained"


def a_photo_is_alone(subject: Subject) -> None:
    """In evaluation mode the logits of a photo do not depend on its batch, up to rounding."""
    network, size, _ = _once(subject)
    photos = fixtures.photos(3, size)
    with evaluating(network), torch.no_grad(), captured():
        whole, singly = network(photos), torch.cat([network(photo[None]) for photo in photos])
    scale = max(1.0, float(whole.abs().max()))
    apart = float((whole - singly).abs().max())
    assert apart <= 1e-4 * scale, f"a logit changes by {apart:.3g} if photos come one by one"


def defenders_find_a_gradient(subject: Subject) -> None:
    """From every logit back to the pixels: finite, and not zero everywhere."""
    network, size, _ = _once(subject)
    photos = fixtures.photos(1, size).requires_grad_()
    with evaluating(network), captured():
        logits = network(photos)
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((logits * weights).sum(), photos, allow_unused=True)
    assert gradient is not None, "there is no gradient from the photos to the logits"
    assert torch.isfinite(gradient).all(), "the gradient is NaN or infinite somewhere"
    assert gradient.abs().sum() > 0, "the gradient is zero everywhere"


def weights_can_be_stored(subject: Subject) -> None:
    """Every entry of the state is a tensor; the same weights give the same logits in a fresh network."""
    network, size, _ = _once(subject)
    state = network.state_dict()
    wrong = [name for name, value in state.items() if not isinstance(value, Tensor)]
    assert not wrong, (
        f"{wrong[0]!r} in the state of the network is no tensor, and only tensors are stored" if wrong else ""
    )
    other = _build(subject.plugin(), seed=4).network
    other.load_state_dict({name: value.clone() for name, value in state.items()})
    photos = fixtures.photos(2, size)
    with evaluating(network), evaluating(other), torch.no_grad(), captured():
        apart = float((network(photos) - other(photos)).abs().max())
    assert apart <= 1e-5 * max(1.0, apart), f"a network with the same weights gives other logits, by {apart:.3g}"


CHECKS = (
    photos_become_logits,
    same_seed_same_weights,
    a_photo_is_alone,
    defenders_find_a_gradient,
    weights_can_be_stored,
    silent(_once),
)
