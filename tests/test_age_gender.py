"""face-api's network of sex and age against face-api itself, with weights made by a formula and with its own.

Figures of face-api are those of @vladmandic/face-api 1.7.15 with @tensorflow/tfjs 4.22.0, backend cpu, in Node.js 20.
"""

from __future__ import annotations

import functools
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from linkbench.api.schema import PAPER, Schema
from linkbench.errors import InputError, WeightsError
from linkbench.models.age_gender import AgeGender
from linkbench.models.features import deep_features
from linkbench.models.weights import write_safetensors

PACKAGE = os.environ.get("FACE_API_PACKAGE")
"""Where the npm package @vladmandic/face-api lies, its .tgz or its folder."""

SEPARABLE = [
    *[(f"entry_flow/reduction_block_0/separable_conv{n}", (32, 64)[n], 64) for n in (0, 1)],
    *[(f"entry_flow/reduction_block_1/separable_conv{n}", (64, 128)[n], 128) for n in (0, 1)],
    *[(f"middle_flow/main_block_{block}/separable_conv{n}", 128, 128) for block in (0, 1) for n in (0, 1, 2)],
    *[(f"exit_flow/reduction_block/separable_conv{n}", (128, 256)[n], 256) for n in (0, 1)],
    ("exit_flow/separable_conv", 256, 512),
]
EXPANSIONS = {
    "entry_flow/reduction_block_0": (32, 64),
    "entry_flow/reduction_block_1": (64, 128),
    "exit_flow/reduction_block": (128, 256),
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order of face-api's manifest."""
    out: dict[str, tuple[int, ...]] = {"entry_flow/conv_in/filters": (3, 3, 3, 32), "entry_flow/conv_in/bias": (32,)}
    for number, (path, inside, outside) in enumerate(SEPARABLE):
        out[f"{path}/depthwise_filter"] = (3, 3, inside, 1)
        out[f"{path}/pointwise_filter"] = (1, 1, inside, outside)
        out[f"{path}/bias"] = (outside,)
        block = path.rpartition("/")[0]
        if block in EXPANSIONS and SEPARABLE[number + 1][0].rpartition("/")[0] != block:
            out[f"{block}/expansion_conv/filters"] = (1, 1, *EXPANSIONS[block])
            out[f"{block}/expansion_conv/bias"] = (EXPANSIONS[block][1],)
    out |= {"fc/age/weights": (512, 1), "fc/age/bias": (1,), "fc/gender/weights": (512, 2), "fc/gender/bias": (2,)}
    return out


def package(folder: Path) -> Path:
    """The manifest of a package with weights by a formula, 8 bits each."""
    entries: list[dict[str, Any]] = []
    data = b""
    for number, (name, shape) in enumerate(shapes().items()):
        at = np.arange(math.prod(shape), dtype=np.float64)
        data += np.floor(128 + 127 * np.sin(1.7e-3 * at * at + 12.9898 * at + number)).astype(np.uint8).tobytes()
        fan = 9 if "depthwise" in name else math.prod(shape[:-1])
        scale = float(np.float64(3.0) / 255 * (1.5 / fan) ** 0.5) if len(shape) > 1 else 0.4 / 255
        packed = {"dtype": "uint8", "scale": scale, "min": -127.5 * scale}
        entries.append({"name": name, "shape": list(shape), "dtype": "float32", "quantization": packed})
    (folder / "w.bin").write_bytes(data)
    (folder / AgeGender.manifest).write_text(json.dumps([{"paths": ["w.bin"], "weights": entries}]))
    return folder / AgeGender.manifest


@functools.cache
def photos() -> Tensor:
    """Two photos of waves, float [2, 3, 112, 112]."""
    y, x, c = np.meshgrid(np.arange(112), np.arange(112), np.arange(3), indexing="ij")
    waves = [np.floor(128 + 127 * np.sin(0.05 * (k + 1) * y + 0.11 * x + 1.3 * c + 0.002 * x * y)) for k in range(2)]
    return torch.from_numpy(np.stack(waves)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("age-gender")
    state = AgeGender().import_weights(AgeGender().read_weights(package(folder)))
    write_safetensors(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def network(weights: Path, schema: Schema = PAPER, size: int = 112, **params: Any) -> Any:
    return AgeGender(weights=weights, shared=True, **params).build(schema, size).eval()


def test_sex_and_age_are_those_of_face_api(weights: Path) -> None:
    with torch.inference_mode():
        found = network(weights)
        torch.testing.assert_close(found.years(photos()), torch.tensor([2.46317, 4.24378]), rtol=0, atol=1e-4)
        male = found(photos())[:, :2].log_softmax(1)[:, 1]
    assert PAPER["sex"] == ("female", "male")
    torch.testing.assert_close(male, torch.tensor([6.293376e-4, 4.242776e-5]).log(), rtol=0, atol=1e-4)


@pytest.mark.skipif(not PACKAGE, reason="FACE_API_PACKAGE names no npm package @vladmandic/face-api")
def test_a_rendered_face_looks_to_it_as_to_face_api(tmp_path: Path) -> None:
    state = AgeGender().import_weights(AgeGender().read_weights(Path(str(PACKAGE))))
    write_safetensors(state, tmp_path / "weights.safetensors")
    face = np.asarray(Image.open(Path(__file__).parent / "data/rendered_face.png").convert("RGB"))
    shown = torch.from_numpy(face.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        found = network(tmp_path / "weights.safetensors")
        assert found.years(shown).item() == pytest.approx(34.15535, abs=1e-3)
        assert found(shown)[0, :2].softmax(0).tolist() == pytest.approx([0.396424, 0.603576], abs=1e-4)


def test_what_nobody_trained_is_left_open(weights: Path) -> None:
    """And one network per phenotype says the same as one for all."""
    with torch.inference_mode():
        shared = network(weights)(photos())
        apart = AgeGender(weights=weights).build(PAPER, 112).eval()(photos())
    torch.testing.assert_close(shared, apart)
    assert shared[:, :2].abs().max() > 1
    assert not shared[:, 2:].any()


@pytest.mark.parametrize("shared", [True, False])
def test_sexes_are_found_by_name(weights: Path, shared: bool) -> None:
    schema = Schema({"hair": ("black", "blonde"), "sex": ("male", "female")})
    with torch.inference_mode():
        turned = AgeGender(weights=weights, shared=shared).build(schema, 112).eval()(photos())
        torch.testing.assert_close(turned[:, 2:].flip(1), network(weights)(photos())[:, :2])
        others = network(weights, Schema({"sex": ("f", "m")}))(photos())
    assert not others.any()  # names that say nothing


def test_it_looks_around_the_eyes(weights: Path) -> None:
    """Eyes .22 apart: the middle .55 of a photo, here 112 of 204 pixels from row .293 * 204 on."""
    large = torch.rand(1, 3, 204, 204, generator=torch.Generator().manual_seed(0))
    part = large[:, :, 60:172, 46:158]
    with torch.inference_mode():
        near = network(weights, size=204, eye_span=0.22)(large)
        torch.testing.assert_close(near, network(weights)(part))
        whole = network(weights, size=204)(large)
        wide = network(weights, size=204, eye_span=0.6, eye_height=0.9)(large)  # more than there is
    assert (near - whole).abs().max() > 0.01
    torch.testing.assert_close(wide, whole)
    with pytest.raises(InputError, match="at least 32 px, these have 31"):
        AgeGender().build(PAPER, 31)


def test_gradients_and_features(weights: Path) -> None:
    found, seen = network(weights, size=64), torch.rand(1, 3, 64, 64, requires_grad=True)
    found(seen)[:, 0].sum().backward()
    assert seen.grad is not None
    assert seen.grad.abs().sum() > 0
    (features,) = deep_features(found)(seen)
    assert features.shape == (1, 512)
    assert not found.age.weight.requires_grad  # nothing trains it


def test_wrong_tensors_are_named() -> None:
    whole = {name: torch.zeros(shape) for name, shape in shapes().items()}
    imported = AgeGender().import_weights(whole)
    AgeGender().check(imported, "here")
    for change, reason in (
        ({"fc/age/weights": torch.zeros(3)}, r"'fc/age/weights' have shape \[3\], expected \[512, 1\]"),
        ({"extra": torch.zeros(1)}, "'extra' belong to no layer of age-gender"),
    ):
        with pytest.raises(WeightsError, match=reason):
            AgeGender().import_weights({**whole, **change})
    del whole["fc/gender/bias"]
    with pytest.raises(WeightsError, match="'fc/gender/bias' are missing; bring the age and gender model of face-api"):
        AgeGender().import_weights(whole)
    with pytest.raises(WeightsError, match=r"here: weights 'age\.bias' are missing"):
        AgeGender().check({name: imported[name] for name in imported if name != "age.bias"}, "here")
