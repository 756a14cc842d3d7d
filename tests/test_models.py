"""Architectures and predictors: shapes, independence, saving, weights of others."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coloured import TOY
from torch import Tensor, nn

from linkbench.api.schema import PAPER, Schema
from linkbench.errors import InputError, WeightsError
from linkbench.models.folding import fold
from linkbench.models.module import Module
from linkbench.models.networks import VGG16
from linkbench.models.predictor import Predictor, ensemble, frozen, predict
from linkbench.models.resnet import ResNet
from linkbench.models.small_cnn import SmallCNN
from linkbench.models.vggface16 import VGGFace16
from linkbench.models.weights import read_foreign, write_safetensors
from linkbench.store import tensorfile

TINY = VGGFace16(width=1, hidden=4)
SMALL = [SmallCNN(width=4), SmallCNN(width=4, shared=True), SmallCNN(width=4, depth=3), ResNet(width=4),
         ResNet(width=4, shared=True), ResNet(width=4, stem_stride=1)]  # fmt: skip


def network(architecture: Any, schema: Schema = PAPER, size: int = 32, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    out: nn.Module = architecture.build(schema, size)
    return out.eval()


def some_photos(count: int, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("size", [32, 45, 64])
def test_logits_of_every_variant(architecture: Any, size: int) -> None:
    net = network(architecture, size=size)
    with torch.no_grad():
        together = net(some_photos(5, size))
        alone = torch.cat([net(photo[None]) for photo in some_photos(5, size)])
    assert together.shape == (5, PAPER.width)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def normalised(net: nn.Module) -> nn.Module:
    """The network with running statistics that are not those of a fresh one."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return net


@pytest.mark.parametrize("architecture", SMALL)
def test_folding_keeps_logits_and_gradients(architecture: Any) -> None:
    built = normalised(network(architecture)).double()
    folded = fold(copy.deepcopy(built))
    outs = []
    for net in (built, folded):
        photos = some_photos(3).double().requires_grad_(True)
        logits = net(photos)
        outs.append((logits.detach(), *torch.autograd.grad(logits.square().sum(), photos)))
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-9, atol=1e-9)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert left < sum(isinstance(module, nn.BatchNorm2d) for module in built.modules())


def test_folding_leaves_alone_what_it_may_not_touch() -> None:
    watched = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    watched[0].register_forward_hook(lambda *_: None)
    shared = nn.BatchNorm2d(3)
    of_batch = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    twice = nn.Sequential(nn.Conv2d(3, 3, 1), shared, nn.Conv2d(3, 3, 1), shared)
    for net in (watched, of_batch, twice):
        assert sum(isinstance(module, nn.BatchNorm2d) for module in fold(net.eval())) == len(net) // 2


def test_large_photos_do_not_need_more_features() -> None:
    sizes = {size: sum(p.numel() for p in network(SmallCNN(), size=size).parameters()) for size in (64, 128, 256)}
    assert len(set(sizes.values())) == 1


@pytest.mark.parametrize("architecture", [SMALL[0], SMALL[3], TINY])
def test_phenotypes_have_networks_of_their_own(architecture: Any) -> None:
    size = 224 if architecture is TINY else 32
    predictor = Predictor(network(architecture, size=size), PAPER)
    photos = some_photos(2, size)
    for phenotype, span in PAPER.slices.items():
        predictor.zero_grad()
        one = predictor.only(photos, phenotype)
        torch.testing.assert_close(one, predictor(photos)[:, span])
        one.sum().backward()
        touched = [any(p.grad is not None for p in net.parameters()) for net in predictor.network.networks]  # type: ignore[union-attr]
        assert touched == [name == phenotype for name in PAPER]


def test_shared_trunk_gives_one_phenotype_too() -> None:
    predictor = Predictor(network(SMALL[1]), PAPER)
    photos = some_photos(2)
    torch.testing.assert_close(predictor.only(photos, "eye"), predictor(photos)[:, PAPER.slices["eye"]])


def test_too_small_photos_are_refused() -> None:
    for architecture, size, reason in (
        (SmallCNN(), 31, "at least 32"),
        (SmallCNN(depth=7), 64, "at least 128 px.*depth smaller"),
        (ResNet(), 16, "at least 32"),
        (VGGFace16(), 64, "set the cohort's size to 224"),
    ):
        with pytest.raises(InputError, match=reason):
            architecture.build(PAPER, size)


def test_probabilities_of_each_phenotype_sum_to_one(tmp_path: Path) -> None:
    predictor = Predictor(network(SMALL[0]).train(), PAPER)
    pixels = (some_photos(7).numpy() * 255).round().astype(np.uint8)
    np.save(tmp_path / "photos.npy", pixels)
    mapped = np.load(tmp_path / "photos.npy", mmap_mode="r")
    out = predict(predictor, mapped, batch=3)
    assert out.dtype == np.float64
    for span in PAPER.slices.values():
        np.testing.assert_allclose(out[:, span].sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(out, predict(predictor, pixels.astype(np.float32) / np.float32(255)), atol=1e-6)
    np.testing.assert_allclose(predict(predictor, mapped, rows=np.array([6, 0])), out[[6, 0]], atol=1e-6)
    assert predictor.network.training, "left in the mode it was in"


def test_ensemble_is_the_mean_of_log_probabilities() -> None:
    one, other = (Predictor(network(SMALL[0], seed=seed), PAPER) for seed in (0, 1))
    photos = some_photos(3)
    mean = (one(photos) + other(photos)) / 2
    span = PAPER.slices["eye"]
    both = ensemble([one, other])
    torch.testing.assert_close(both(photos)[:, span], mean[:, span].log_softmax(1))
    torch.testing.assert_close(both.only(photos, "eye"), mean[:, span].log_softmax(1))
    assert ensemble([one]) is one
    with pytest.raises(InputError, match="different phenotypes"):
        ensemble([one, Predictor(network(SMALL[0], TOY), TOY)])


def test_frozen_gives_everything_back() -> None:
    net = network(SMALL[0]).train()
    net.networks[0].eval()  # type: ignore[index]
    first = next(net.parameters()).requires_grad_(False)
    with frozen(net):
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not first.requires_grad
    assert sum(p.requires_grad for p in net.parameters()) == len(list(net.parameters())) - 1
    assert [part.training for part in net.networks] == [False, True, True, True]  # type: ignore[union-attr]


class Own(nn.Module):
    def __init__(self, outputs: int = 11) -> None:
        super().__init__()
        self.linear = nn.LazyLinear(outputs)

    def forward(self, photos: Tensor) -> Tensor:
        return self.linear(photos.flatten(1))


def test_module_by_import_path() -> None:
    net = Module(path=f"{__name__}:Own").build(PAPER, 32)
    assert net(some_photos(2)).shape == (2, 11)


@pytest.mark.parametrize(
    ("path", "arguments", "reason"),
    [
        ("no_such_package.nets:Net", {}, "No module named.*PYTHONPATH"),
        (f"{__name__}:Missing", {}, "no attribute 'Missing'"),
        (f"{__name__}:some_photos", {}, "not a subclass of torch.nn.Module"),
        (f"{__name__}:Own", {"width": 3}, "cannot be made with the arguments.*width"),
        (f"{__name__}:Own", {"outputs": 9}, r"shape \[1, 9\].*expected logits of shape \[1, 11\]"),
        ("torch.nn:Bilinear", {"in1_features": 1, "in2_features": 1, "out_features": 1}, "fails on one photo"),
    ],
)
def test_module_errors(path: str, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=f"(?s){reason}"):
        Module(path=path, arguments=arguments).build(PAPER, 32)


def vgg_state(names: Callable[[str], str] = str) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return {names(name): value for name, value in VGG16(2622, 1, 4, 0.5).state_dict().items()}


def unify(name: str) -> str:
    """conv1_1 as converted VGG_FACE.t7 files have it."""
    return f"conv_{name[4:]}" if name.startswith("conv") else name


def test_vgg_sees_blue_first_in_0_to_255() -> None:
    seen = VGG16(2, 1, 4, 0.0).normalise(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)).flatten().tolist()
    assert seen == pytest.approx([-93.5940, 127.5 - 104.7624, 255 - 129.1863])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("names", [str, unify])
def test_weights_round_trip(tmp_path: Path, names: Callable[[str], str], suffix: str) -> None:
    state = vgg_state(names)
    source = tmp_path / f"vgg{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, source)
    else:
        write_safetensors(state, source)
    imported = TINY.import_weights(read_foreign(source))
    TINY.check(imported, "here")
    file = tmp_path / "out.safetensors"
    write_safetensors(imported, file)
    start = TINY.model_copy(update={"weights": file})
    assert start.input_files() == [file]
    net = network(start, size=224)
    for part in net.networks:  # type: ignore[union-attr]
        torch.testing.assert_close(part.state_dict()["conv3_2.weight"], vgg_state()["conv3_2.weight"])
        torch.testing.assert_close(part.fc7.bias, vgg_state()["fc7.bias"])


def test_colours_of_a_network_that_saw_red_first_are_turned() -> None:
    turned = TINY.import_weights(vgg_state(), red_first=True)["conv1_1.weight"]
    torch.testing.assert_close(turned, vgg_state()["conv1_1.weight"].flip(1))


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    state = vgg_state()
    del state["conv4_1.bias"]
    with pytest.raises(WeightsError, match=r"'conv4_1.bias' are missing"):
        TINY.check(TINY.import_weights(state), "here")
    state = vgg_state() | {"fc6.weight": torch.zeros(4, 3)}
    with pytest.raises(WeightsError, match=r"'fc6.weight' have shape \[4, 3\], expected \[4, 392\]"):
        TINY.check(TINY.import_weights(state), "here")
    with pytest.raises(WeightsError, match=r"'stem\.weight' belong to no layer"):
        TINY.import_weights({"stem.weight": torch.zeros(1)})
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="weights import"):
        VGGFace16(weights=tmp_path / "empty.safetensors").build(PAPER, 224)


class Malicious:
    def __reduce__(self) -> Any:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))], ids=["torch", "pickle"]
)
def test_malicious_pickle_is_refused(home: Path, write: Any) -> None:
    write({"conv1_1.weight": Malicious()}, home / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil.pth is refused|not a file of torch.save"):
        read_foreign(home / "evil.pth")
    assert not (home / "pwned").exists()


@pytest.mark.parametrize("content", [b"", b"not a file of torch", b"PK\x03\x04broken"])
def test_broken_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pth"):
        read_foreign(tmp_path / "x.pth")


def test_import_command(run_cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(vgg_state(), home / "vgg.pth")
    command = ("weights", "import", "vgg.pth", "--architecture", "vggface16", "--out", "new/vgg.safetensors")
    done = run_cli(*command)  # the tiny network is not VGGFace
    assert done.status == 2
    assert "'conv1_1.weight' have shape [1, 3, 3, 3], expected [64, 3, 3, 3]" in done.err
    assert not (home / "new").exists()
    tiny = TINY.shapes()
    monkeypatch.setattr(VGGFace16, "shapes", lambda self: tiny)
    done = run_cli(*command)
    assert done.status == 0, done.err
    assert "30 tensors for vggface16" in done.out
    assert set(tensorfile.read(home / "new/vgg.safetensors").arrays) == set(tiny)
    assert "those that do: age-gender, dlib-resnet, vggface16" in run_cli(*command[:4], "small-cnn", *command[5:]).err
    assert "cannot be read" in run_cli(*command[:2], "none.pth", *command[3:]).err
