"""What linkbench expects of a channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from linkbench.api.base import Channel
from linkbench.execution.stdout import captured
from linkbench.harness.checks import check_photos
from linkbench.stages.protect import as_posted
from linkbench.testing import fixtures
from linkbench.testing.check import Subject
from linkbench.testing.common import silent

ROUNDING = 1e-5
"""Differences of float32 pixels that mean nothing."""

FEW = 0.001
"""Part of the pixels that may come out otherwise in another batch, once rounded to 8 bits."""


class Trial(NamedTuple):
    """One use of the channel: photos before and after float32 [n, 3, h, w], and what it printed."""

    before: Tensor
    given: Tensor
    after: Any
    said: str


def _photos() -> Tensor:
    """Photos between the steps of 8 bits, as a defender makes them."""
    whole = fixtures.photos()
    noise = torch.rand(whole.shape, generator=torch.Generator().manual_seed(5)).sub(0.5).div(255)
    return (whole + noise).clamp(0, 1).contiguous(memory_format=torch.channels_last)


def _use(channel: Channel, others: int = 0) -> Trial:
    before = _photos()
    given = before.clone(memory_format=torch.preserve_format)
    with captured() as printed, fixtures.chance(others, others):
        after = channel.publish(given)
    return Trial(before, given, after, printed.text)


def _once(subject: Subject) -> Trial:
    return _use(subject.plugin())


def _published(subject: Subject) -> Trial:
    trial: Trial = subject.once(_once)
    return trial._replace(after=check_photos(trial.after, trial.before, "publish"))


def photos_come_back(subject: Subject) -> None:
    """The shape, type and device that it was given, finite, in [0, 1]."""
    after = _published(subject).after
    low, high = float(after.min()), float(after.max())
    assert low >= -ROUNDING, f"a pixel is {low:.4g}, below 0"
    assert high <= 1 + ROUNDING, f"a pixel is {high:.4g}, above 1"


def there_is_no_randomness(subject: Subject) -> None:
    """The same photos give the same bytes, whatever the random generators hold."""
    one, two = _published(subject).after, _use(subject.plugin(), others=1).after
    assert torch.equal(one, two), f"{int((one != two).sum())} of {one.numel()} pixels differ between two uses"


def a_photo_is_alone(subject: Subject) -> None:
    """What becomes of a photo does not depend on its batch, up to rounding."""
    one, channel = _published(subject).after, subject.plugin()
    with captured():
        singly = torch.cat([channel.publish(photo[None].clone()) for photo in _photos()])
    differ = float((fixtures.steps_of_8_bits(one) != fixtures.steps_of_8_bits(singly)).float().mean())
    assert differ <= FEW, (
        f"{differ:.2%} of the pixels differ after 8 bits if photos come one by one, at most {FEW:.1%} may"
    )
    assert torch.allclose(one, singly, atol=1 / 255), (
        "a pixel differs by more than a step of 8 bits if photos come one by one"
    )


def inputs_stay_as_they_were(subject: Subject) -> None:
    """The photos are not written to."""
    trial = _published(subject)
    assert torch.equal(trial.given, trial.before), "it wrote to the photos; work on a copy"


def what_it_says_of_8_bits_is_true(subject: Subject) -> None:
    """`eight_bit`: what is published are multiples of 1/255; otherwise some pixels are not."""
    trial, channel = _published(subject), subject.plugin()
    with captured():
        out = as_posted(channel.publish(trial.before.clone()), trial.before, channel.eight_bit).mul(255)
    off = float((out - out.round()).abs().max())
    if channel.eight_bit:
        assert off < 1e-3, f"eight_bit is True, but a published pixel is {off:.3g} steps away from a multiple of 1/255"
    else:
        assert off > 1e-3, "eight_bit is False, but every published pixel is a multiple of 1/255"


def defenders_can_optimise_through_it(subject: Subject) -> None:
    """`through`: the published values, with a gradient that is finite and not zero everywhere."""
    trial, channel = _published(subject), subject.plugin()
    photos = trial.before.clone().requires_grad_()
    with captured():
        soft = channel.through(photos)
    apart = float((soft.detach() - trial.after).abs().max())
    assert apart <= 1 / 255 + ROUNDING, f"'through' gives other values than 'publish', by up to {apart:.4g}"
    weights = torch.rand(soft.shape, generator=torch.Generator().manual_seed(6)).to(soft)
    (gradient,) = torch.autograd.grad((soft * weights).sum(), photos, allow_unused=True)
    assert gradient is not None, "there is no gradient from the photos to what 'through' gives"
    assert torch.isfinite(gradient).all(), "the gradient is NaN or infinite somewhere"
    assert gradient.abs().sum() > 0, "the gradient is zero everywhere"


CHECKS = (
    photos_come_back,
    there_is_no_randomness,
    a_photo_is_alone,
    inputs_stay_as_they_were,
    what_it_says_of_8_bits_is_true,
    defenders_can_optimise_through_it,
    silent(_once),
)
