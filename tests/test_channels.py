"""What posting does to photos, and the gradients through it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from linkbench.api.base import Channel
from linkbench.channels.chain import Chain
from linkbench.channels.dct import CHROMINANCE, LUMINANCE, round_softly, soft_jpeg, soft_round, steps
from linkbench.channels.float import Float
from linkbench.channels.gaussian import convolved, gaussian
from linkbench.channels.jpeg import Jpeg
from linkbench.channels.platform import Platform
from linkbench.channels.png import Png
from linkbench.channels.resize import Resize
from linkbench.registry.spec import Spec, nested_specs, parse_spec


def smooth(n: int = 2, h: int = 32, w: int = 32, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Photos with detail at several scales, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        torch.nn.functional.interpolate(torch.rand(n, 3, s, s, generator=generator), (h, w), mode="bilinear")
        for s in (3, 7, 16)
    ]
    return (parts[0] * 0.6 + parts[1] * 0.3 + parts[2] * 0.1).to(dtype)


def chain(*channels: Any) -> Chain:
    return Chain(channels=list(channels))


CHANNELS: dict[str, Channel] = {
    "float": Float(),
    "png": Png(),
    "jpeg-30": Jpeg(quality=30),
    "jpeg-90": Jpeg(),
    "jpeg-100": Jpeg(quality=100),
    "resize": Resize(),
    "resize-bicubic": Resize(size=20, filter="bicubic"),
    "resize-none": Resize(size=500),
    "chain": chain({"use": "resize", "factor": 0.5}, {"use": "jpeg", "quality": 80}),
    "platform": Platform(),
    "platform-small": Platform(longest=20, quality=60, sharpen=1.0, radius=0.8),
    "platform-signal": Platform(preset="signal"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CHANNELS)
def test_every_channel(name: str, dtype: torch.dtype) -> None:
    channel = CHANNELS[name]
    for h, w in ((32, 32), (17, 30)):
        photos = smooth(3, h, w, dtype=dtype)
        photos[0] = (photos[0] > 0.5).to(dtype)
        kept = photos.clone()
        out = channel.publish(photos)
        assert torch.equal(photos, kept)  # nothing is written into what was handed over
        assert out.shape == photos.shape
        assert out.dtype == dtype
        assert 0 <= out.min() <= out.max() <= 1
        assert torch.equal(out, channel.publish(photos))
        assert torch.equal(out[1:2], channel.publish(photos[1:2]))  # a photo does not depend on its batch
        if channel.eight_bit:
            assert torch.equal(out, (out * 255).round() / 255)
        inside = photos.requires_grad_(True)
        seen = channel.through(inside)
        assert torch.equal(seen, out)  # to the last bit
        (gradient,) = torch.autograd.grad(seen.square().sum(), inside)
        assert gradient.isfinite().all()
        assert gradient.abs().flatten(1).sum(dim=1).min() > 0


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
@settings(max_examples=100, deadline=None)
def test_png_rounds_once(values: list[float]) -> None:
    photos = torch.tensor(values)
    out = Png().publish(photos)
    assert torch.equal(out, torch.round(photos * 255) / 255)
    assert torch.equal(Png().publish(out), out)
    assert (out - photos).abs().max() <= 0.5 / 255 + 1e-7
    np.testing.assert_array_equal((out * 255).numpy().astype(np.uint8), (out * 255).round().numpy())


def test_png_swallows_less_than_half_a_step() -> None:
    photos = torch.arange(256).reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    noise = (torch.rand(1, 3, 16, 16) * 2 - 1) * 0.49 / 255
    assert torch.equal(Png().publish((photos + noise).clamp(0, 1)), photos)


def test_jpeg_is_what_pillow_writes() -> None:
    photos = Png().publish(smooth(1, 48, 40))
    file = io.BytesIO()
    pixels = (photos[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=60, subsampling=2)
    expected = np.asarray(Image.open(file)).transpose(2, 0, 1)
    np.testing.assert_array_equal((Jpeg(quality=60).publish(photos)[0] * 255).round().numpy(), expected)


def test_jpeg_gets_better_with_quality() -> None:
    photos = smooth(4, 64, 64)
    errors = [(Jpeg(quality=q).publish(photos) - photos).square().mean().item() for q in (5, 20, 50, 80, 95)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 5 * errors[-1]


@pytest.mark.parametrize("quality", [1, 20, 49, 50, 75, 90, 100])
def test_quantisation_steps_are_those_of_libjpeg(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]
    assert steps(LUMINANCE, quality).flatten().tolist() == list(tables[0])
    assert steps(CHROMINANCE, quality).flatten().tolist() == list(tables[1])


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (16, 9)])
@pytest.mark.parametrize("quality", [30, 75, 100])
def test_our_jpeg_with_hard_rounding_is_near_libjpeg(size: tuple[int, int], quality: int) -> None:
    photos = Png().publish(smooth(2, *size, dtype=torch.float64))
    ours, theirs = soft_jpeg(photos, quality, torch.round), Jpeg(quality=quality).publish(photos)
    apart = (ours - theirs).abs() * 255  # a coefficient near a tie may fall the other way and move its whole block
    assert apart.median() < 1
    assert apart.mean() < 2


def test_soft_jpeg_gradient() -> None:
    assert torch.autograd.gradcheck(
        lambda x: soft_round(x), (torch.linspace(-2.9, 2.9, 20, dtype=torch.float64, requires_grad=True),)
    )
    photos = (smooth(1, 16, 16, dtype=torch.float64) * 0.8 + 0.1).requires_grad_(True)
    way = torch.rand(photos.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(soft_jpeg(photos, 60).square().sum(), photos)
    ahead, behind = (soft_jpeg(photos + sign * 1e-7 * way, 60).square().sum() for sign in (1, -1))
    assert (gradient * way).sum().item() == pytest.approx((ahead - behind).item() / 2e-7, rel=1e-4)


def test_optimising_through_jpeg_beats_ignoring_it() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, 2, 2), torch.nn.SiLU(), torch.nn.Conv2d(8, 16, 3, 2, 1), torch.nn.SiLU(),
        torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(256, 1),
    )  # fmt: skip
    photos, channel = smooth(4), Jpeg(quality=75)

    def attacked(seen: Any) -> float:
        moved = photos.clone()
        for _ in range(6):
            moved.requires_grad_(True)
            (gradient,) = torch.autograd.grad(network(seen(moved)).sum(), moved)
            step = moved.detach() + gradient.sign() / 255
            moved = torch.minimum(torch.maximum(step, photos - 4 / 255), photos + 4 / 255).clamp(0, 1)
        return float((network(channel.publish(moved)) - network(channel.publish(photos))).mean().detach())

    assert attacked(channel.through) > 1.5 * attacked(lambda x: x) > 0


def test_resize_loses_detail_and_keeps_the_rest() -> None:
    checks = (torch.ones(1, 3, 32, 32).cumsum(2) + torch.ones(1, 3, 32, 32).cumsum(3)) % 2
    assert (Resize(size=8).publish(checks)[..., 4:-4, 4:-4] - 0.5).abs().max() < 0.02
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert (Resize(size=16).publish(ramp) - ramp).abs()[..., 4:-4].max() < 0.01
    np.testing.assert_array_equal(Resize(size=500).publish(ramp), Png().publish(ramp))
    np.testing.assert_array_equal(Resize(size=32).publish(ramp), Resize().publish(ramp))


def test_resize_gradient_is_the_true_one() -> None:
    photos = (smooth(1, 12, 12, dtype=torch.float64) * 0.5 + 0.25).requires_grad_(True)
    weights = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    channel = Resize(size=5)
    (gradient,) = torch.autograd.grad((channel.through(photos) * weights).sum(), photos)
    assert torch.autograd.gradcheck(channel._resampled, (photos,), fast_mode=True)
    (expected,) = torch.autograd.grad((channel._resampled(photos) * weights).sum(), photos)
    assert torch.equal(gradient, expected)


def test_platform_is_shrinking_sharpening_and_a_file() -> None:
    photos = smooth(2, 32, 24)
    small = torch.nn.functional.interpolate(photos, (16, 12), mode="bilinear", antialias=True)
    sharp = []
    for photo in small.permute(0, 2, 3, 1).double().numpy():
        blur = scipy.ndimage.gaussian_filter(photo, (0.7, 0.7, 0), mode="nearest", truncate=3 / 0.7)
        sharp.append(np.clip(photo + 0.8 * (photo - blur), 0, 1))
    posted = Jpeg(quality=70).publish(torch.from_numpy(np.stack(sharp)).permute(0, 3, 1, 2).float())
    expected = torch.nn.functional.interpolate(posted, (32, 24), mode="bilinear", antialias=True)
    out = Platform(longest=16, quality=70, sharpen=0.8, radius=0.7).publish(photos)
    assert ((out - expected).abs() * 255).max() <= 0.5 + 1e-3
    assert torch.equal(Platform(longest=500, quality=70, sharpen=0).publish(photos), Jpeg(quality=70).publish(photos))
    detail = (Platform(sharpen=1.5, quality=100).publish(photos) - 0.5).square().mean()
    assert detail > (Platform(sharpen=0, quality=100).publish(photos) - 0.5).square().mean()


def test_platform_presets_can_be_changed() -> None:
    wiki = Platform(preset="mediawiki")
    assert (wiki.longest, wiki.quality, wiki.sharpen, wiki.radius) == (1280, 80, 0.54, 0.4)
    assert Platform(preset="mediawiki", quality=50) == wiki.model_copy(update={"quality": 50})
    specs, _ = parse_spec("channel", {"use": "platform", "preset": "signal", "longest": 100}, ())
    assert specs[0].plugin() == Platform(preset="signal", longest=100)
    # ImageMagick's sharpening of sigma 0.4: the kernel -g with 2 * sum(g) in its middle, over its sum
    g = np.outer(*[gaussian(0.4, 2).numpy()] * 2)
    kernel = -g
    kernel[2, 2] = 2 * g.sum()
    image = smooth(1, 9, 9, dtype=torch.float64)[0, 0].numpy()
    theirs = scipy.ndimage.correlate(image, kernel / kernel.sum(), mode="nearest")
    blur = scipy.ndimage.correlate(image, g, mode="nearest")
    np.testing.assert_allclose(theirs, image + 0.54 * (image - blur), atol=2e-3)


def test_gaussian_is_that_of_scipy() -> None:
    images = smooth(2, 13, 9, dtype=torch.float64)
    for edges, mode in (("replicate", "nearest"), ("constant", "constant")):
        ours = convolved(images, gaussian(1.3, 4), edges)  # type: ignore[arg-type]
        theirs = scipy.ndimage.gaussian_filter(images.numpy(), (0, 0, 1.3, 1.3), mode=mode, truncate=4 / 1.3)
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


def test_jpeg_of_a_quality_for_each_photo() -> None:
    photos, qualities = smooth(3, 24, 40, dtype=torch.float64), [30, 75, 95]
    together = soft_jpeg(photos, qualities, round_softly)
    for photo, quality, out in zip(photos, qualities, together, strict=True):
        torch.testing.assert_close(out[None], soft_jpeg(photo[None], quality, torch.round), rtol=0, atol=1e-12)


def test_chain_is_composition() -> None:
    photos = smooth()
    both = chain({"use": "resize", "size": 16}, "float", {"use": "jpeg", "quality": 40})
    assert torch.equal(both.publish(photos), Jpeg(quality=40).publish(Resize(size=16).publish(photos)))
    nested = chain({"use": "chain", "channels": ["png", {"use": "jpeg", "quality": 40}]}, "png")
    assert torch.equal(nested.publish(photos), Png().publish(Jpeg(quality=40).publish(Png().publish(photos))))
    inside = photos.requires_grad_(True)
    chained, apart = both.through(inside), Jpeg(quality=40).through(Resize(size=16).through(inside))
    assert torch.equal(*(torch.autograd.grad(out.square().sum(), inside)[0] for out in (chained, apart)))


def test_chain_knows_whether_it_rounds() -> None:
    assert not chain("float", "float").eight_bit
    assert chain("float", "png").eight_bit
    assert chain("png", "float").eight_bit  # float takes nothing back


def test_chain_in_a_scenario() -> None:
    entry = {"use": "chain", "channels": [[{"use": "resize", "size": 32}, "jpeg"], ["png"]]}
    specs, wrong = parse_spec("channel", entry, ())
    assert not wrong
    assert [spec.label for spec in specs] == ["chain(channels=resize+jpeg)", "chain(channels=png)"]
    assert [inner.name for _, inner in nested_specs(specs[0])] == ["resize", "jpeg"]
    assert isinstance(specs[0], Spec)
    plugin = specs[0].plugin()
    assert [type(link) for link in plugin.links()] == [Resize, Jpeg]
    assert plugin.links()[0].size == 32


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"use": "jpeg", "quality": 0}, "greater than or equal to 1, found a number 0"),
        ({"use": "jpeg", "quality": 101}, "less than or equal to 100"),
        ({"use": "jpeg", "qualty": 9}, "did you mean 'quality'?"),
        ({"use": "resize", "size": 8, "factor": 0.5}, "give 'size' or 'factor', not both"),
        ({"use": "resize", "factor": 0.0}, "greater than 0"),
        ({"use": "resize", "filter": "box"}, "bilinear"),
        ({"use": "chain"}, "is missing"),
        ({"use": "chain", "channels": [["pgn"]]}, "did you mean 'png'?"),
        ({"use": "chain", "channels": [[{"use": "jpeg", "quality": 0}]]}, "greater than or equal to 1"),
    ],
)
def test_wrong_parameters_are_explained(entry: dict[str, Any], message: str) -> None:
    specs, wrong = parse_spec("channel", entry, ())
    assert not specs
    assert message in wrong[0].what


def test_channels_refuse_unknown_parameters() -> None:
    with pytest.raises(ValidationError):
        Png.model_validate({"quality": 5})
