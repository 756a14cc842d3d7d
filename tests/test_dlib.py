"""dlib's recogniser against an independent forward pass; weights of TensorFlow.js against manifests made by hand."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Finished
from torch import Tensor
from torch.nn import functional

from linkbench.api.schema import PAPER
from linkbench.errors import InputError, WeightsError
from linkbench.models.dlib_network import DlibNetwork
from linkbench.models.dlib_resnet import DlibResNet
from linkbench.models.features import deep_features
from linkbench.models.tfjs import read_tfjs

HALVING = ("conv64_down", "conv128_down", "conv256_down", "conv256_down_out")
LAYERS = [
    *[(f"conv32_{block}", 32, 32) for block in (1, 2, 3)], ("conv64_down", 32, 64),
    *[(f"conv64_{block}", 64, 64) for block in (1, 2, 3)], ("conv128_down", 64, 128),
    *[(f"conv128_{block}", 128, 128) for block in (1, 2)], ("conv256_down", 128, 256),
    *[(f"conv256_{block}", 256, 256) for block in (1, 2)], ("conv256_down_out", 256, 256),
]  # fmt: skip


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Weights as the npm package has them, of random numbers that keep activations in range."""
    random = torch.Generator().manual_seed(seed)

    def numbers(*shape: int, scale: float) -> Tensor:
        return scale * torch.randn(*shape, generator=random)

    out: dict[str, Tensor] = {}
    layers = [("conv32_down", 3, 32, 7)]
    for name, inside, outside in LAYERS:
        layers += [(f"{name}/conv1", inside, outside, 3), (f"{name}/conv2", outside, outside, 3)]
    for name, inside, outside, edge in layers:
        out[f"{name}/conv/filters"] = numbers(edge, edge, inside, outside, scale=(edge * edge * inside) ** -0.5)
        out[f"{name}/conv/bias"] = numbers(outside, scale=0.1)
        out[f"{name}/scale/weights"] = 1 + numbers(outside, scale=0.2)
        out[f"{name}/scale/biases"] = numbers(outside, scale=0.1)
    out["fc"] = numbers(256, 128, scale=256**-0.5)
    return out


def reference(state: dict[str, Tensor], photos: Tensor) -> Tensor:
    """The embedding as face-api computes it: scales apart from convolutions, padding by joining zeros."""

    def layer(out: Tensor, name: str, stride: int = 1, padding: str = "same") -> Tensor:
        out = functional.conv2d(out, state[f"{name}/conv/filters"].permute(3, 2, 0, 1), stride=stride, padding=padding)
        out = out + state[f"{name}/conv/bias"].view(-1, 1, 1)
        return out * state[f"{name}/scale/weights"].view(-1, 1, 1) + state[f"{name}/scale/biases"].view(-1, 1, 1)

    out = (photos * 255 - torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)) / 255
    out = layer(out, "conv32_down", 2, "valid").relu()
    out = functional.max_pool2d(out, 3, 2)
    for name, _, _ in LAYERS:
        if name not in HALVING:
            out = (layer(layer(out, f"{name}/conv1").relu(), f"{name}/conv2") + out).relu()
            continue
        inner = layer(layer(out, f"{name}/conv1", 2, "valid").relu(), f"{name}/conv2")
        pooled = functional.avg_pool2d(out, 2, 2)
        if pooled.shape[2:] != inner.shape[2:]:
            inner = torch.cat([inner, torch.zeros(*inner.shape[:2], 1, inner.shape[3])], dim=2)
            inner = torch.cat([inner, torch.zeros(*inner.shape[:3], 1)], dim=3)
        if pooled.shape[1] != inner.shape[1]:
            pooled = torch.cat([pooled, torch.zeros_like(pooled)], dim=1)
        out = (pooled + inner).relu()
    return out.mean(dim=(2, 3)) @ state["fc"]


def test_forward_pass_is_that_of_an_independent_one() -> None:
    state = random_state()
    network = DlibNetwork(3)
    network.load_state_dict(DlibResNet().import_weights(state), strict=False)
    photos = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = reference(state, photos)
        torch.testing.assert_close(network.features(photos), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network(photos), network.head(expected), rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1
    assert (expected[0] - expected[1]).abs().max() > 0.01


def test_its_features_are_the_embedding() -> None:
    network = DlibResNet().build(PAPER, 150).eval()
    photos = torch.rand(1, 3, 150, 150)
    with torch.inference_mode():
        parts = deep_features(network)(photos)
    assert [part.shape for part in parts] == [(1, 128)] * 4
    with pytest.raises(InputError, match="at least 32 px, these have 31"):
        DlibResNet().build(PAPER, 31)


def test_wrong_tensors_are_named() -> None:
    state = random_state()
    for change, reason in (
        ({"fc": torch.zeros(3, 3)}, r"'fc' have shape \[3, 3\], expected \[256, 128\]"),
        ({"conv64_1/conv2/conv/bias": torch.zeros(2)}, r"conv64_1/conv2/conv/bias.*\[2\], expected \[64\]"),
        ({"extra": torch.zeros(1)}, r"'extra' belong to no layer"),
    ):
        with pytest.raises(WeightsError, match=reason):
            DlibResNet().import_weights({**state, **change})
    del state["conv32_down/scale/weights"]
    with pytest.raises(WeightsError, match="'conv32_down/scale/weights' are missing"):
        DlibResNet().import_weights(state)


def entry(name: str, shape: list[int], quantised: dict[str, Any] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "shape": shape, "dtype": "float32"}
    return out if quantised is None else {**out, "quantization": quantised}


EIGHT = {"dtype": "uint8", "scale": 0.5, "min": -1.25}
SIXTEEN = {"dtype": "uint16", "scale": 2.0, "min": 3.0}


def test_numbers_are_unpacked_as_written(tmp_path: Path) -> None:
    """uint8 and uint16 (value * scale + min), float16 and float32, over two shards, cut in the middle of a tensor."""
    data = bytes([0, 1, 4, 255]) + struct.pack("<2H", 7, 65535) + struct.pack("<2e", 1.5, -2.0) + struct.pack("<f", 0.1)
    (tmp_path / "a.bin").write_bytes(data[:5])
    (tmp_path / "b.bin").write_bytes(data[5:])
    weights = [entry("x", [2, 2], EIGHT), entry("y", [2], SIXTEEN), entry("z", [2, 1], {"dtype": "float16"}),
               entry("w", [])]  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps([{"paths": ["a.bin", "b.bin"], "weights": weights}]))
    found = read_tfjs(tmp_path / "m.json", "unused")
    assert found["x"].tolist() == [[-1.25, -0.75], [0.75, 126.25]]
    assert found["y"].tolist() == [17.0, 131073.0]
    assert found["z"].tolist() == [[1.5], [-2.0]]
    assert found["w"].item() == np.float32(0.1)


BAD = {
    "no JSON": ("{", "is no JSON"),
    "no groups": ({"weights": []}, "expected a list of groups"),
    "no lists": ([{"paths": "a.bin", "weights": []}], "no lists 'paths' and 'weights'"),
    "a path": ([{"paths": ["../a.bin"], "weights": []}], "must be the plain name"),
    "a lost shard": ([{"paths": ["lost.bin"], "weights": []}], "lost.bin cannot be read"),
    "no name": ([{"paths": ["a.bin"], "weights": [{"shape": [4]}]}], "has no name"),
    "a shape": ([{"paths": ["a.bin"], "weights": [entry("x", [-4])]}], r"the shape \[-4\]"),
    "a kind": ([{"paths": ["a.bin"], "weights": [{**entry("x", [1]), "dtype": "int32"}]}], "only float32"),
    "too short": ([{"paths": ["a.bin"], "weights": [entry("x", [9])]}], "end at byte 36, the shards have 4"),
    "too long": ([{"paths": ["a.bin"], "weights": [entry("x", [3], EIGHT)]}], "4 bytes, the manifest describes 3"),
    "twice": ([{"paths": ["a.bin"], "weights": [entry("x", [2], EIGHT)] * 2}], "'x' stand there twice"),
    "quantised": ([{"paths": ["a.bin"], "weights": [entry("x", [4], {"dtype": "int4"})]}], "quantised as 'int4'"),
    "scale": ([{"paths": ["a.bin"], "weights": [entry("x", [4], {**EIGHT, "scale": 0})]}], "scale is 0"),
    "minimum": ([{"paths": ["a.bin"], "weights": [entry("x", [4], {**EIGHT, "min": "0"})]}], "min is '0'"),
    "infinite": ([{"paths": ["n.bin"], "weights": [entry("x", [1])]}], "not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_manifests_are_refused(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    (tmp_path / "a.bin").write_bytes(bytes(4))
    (tmp_path / "n.bin").write_bytes(struct.pack("<f", float("inf")))
    (tmp_path / "m.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(WeightsError, match=reason):
        read_tfjs(tmp_path / "m.json", "unused")


def package(state: dict[str, Tensor]) -> dict[str, bytes]:
    """The two files of an npm package, every tensor quantised to 8 bits."""
    entries, data = [], b""
    for name, tensor in state.items():
        low, high = float(tensor.min()), float(tensor.max())
        scale = (high - low) / 255
        data += ((tensor - low) / scale).round().to(torch.uint8).numpy().tobytes()
        entries.append(entry(name, list(tensor.shape), {"dtype": "uint8", "scale": scale, "min": low}))
    manifest = json.dumps([{"paths": ["face.bin"], "weights": entries}]).encode()
    return {f"package/model/{DlibResNet.manifest}": manifest, "package/model/face.bin": data, "package/README": b"\xff"}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.slow
def test_folder_archive_and_manifest_give_the_same_file(home: Path, run_cli: Callable[..., Finished]) -> None:
    state = random_state(2)
    files = package(state)
    # a name that leads out of the archive is never written, as nothing is
    archive(home / "face.tgz", {**files, "../model/evil.bin": b"evil", "/model/evil.json": b"evil"})
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)
    for source in ("face.tgz", "package", f"package/model/{DlibResNet.manifest}"):
        done = run_cli(
            "weights", "import", source, "--architecture", "dlib-resnet", "--out", f"{source[-5:-4]}.safetensors"
        )
        assert (done.status, done.err) == (0, "")
        assert "59 tensors for dlib-resnet" in done.out
    assert len({path.read_bytes() for path in home.glob("*.safetensors")}) == 1
    assert not list(home.parent.rglob("evil*"))
    exact = DlibResNet().import_weights(state)["conv64_down.conv1.weight"]
    start = DlibResNet(weights=next(home.glob("*.safetensors"))).build(PAPER, 150).networks[0]  # type: ignore[union-attr,index]
    rounded = start.conv64_down.conv1.weight  # type: ignore[union-attr]
    assert 0 < (rounded - exact).abs().max() < 0.02


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda home: home / "none.tgz", "none.tgz cannot be read: No such file"),
        (
            lambda home: archive(home / "x.tgz", {"package/model/other.bin": b""}),
            f"holds no model/{DlibResNet.manifest}",
        ),
        (lambda home: archive(home / "x.tgz", {f"model/{DlibResNet.manifest}": b"[{}]"}), "a group has no lists"),
        (lambda home: home, f"holds no {DlibResNet.manifest}"),
    ],
    ids=["absent", "without a manifest", "bad manifest", "empty folder"],
)
def test_bad_packages_end_with_status_2(
    home: Path, run_cli: Callable[..., Finished], make: Callable[[Path], Path], reason: str
) -> None:
    done = run_cli("weights", "import", make(home), "--architecture", "dlib-resnet", "--out", "out.safetensors")
    assert done.status == 2
    assert reason in done.err
    assert not list(home.rglob("*.safetensors"))


def test_cut_archive_and_useless_option(home: Path, run_cli: Callable[..., Finished]) -> None:
    whole = archive(home / "x.tgz", package({"fc": torch.rand(64, 64)})).read_bytes()
    (home / "x.tgz").write_bytes(whole[: len(whole) // 2])
    command = ("weights", "import", "x.tgz", "--architecture", "dlib-resnet", "--out", "out.safetensors")
    done = run_cli(*command)
    assert (done.status, done.out) == (2, "")
    assert "no whole tar archive" in done.err
    done = run_cli(*command, "--channels", "rgb")
    assert done.status == 2
    assert "one order only" in done.err
