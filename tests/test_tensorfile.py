"""Arrays on disk: the safetensors library reads what we write and the other way round; damage is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from linkbench.api.data import Artefact, Stream
from linkbench.errors import TensorFileError
from linkbench.store import tensorfile

DTYPES = sorted(tensorfile._NAMES)
SHAPES = [(), (1,), (7,), (2, 3), (0,), (3, 0), (0, 5), (2, 1, 4)]


def sample(dtype: str, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_library_reads_ours_and_we_read_the_librarys(tmp_path: Path, shape: tuple[int, ...]) -> None:
    table = {f"{dtype} é": sample(dtype, shape) for dtype in DTYPES}
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    tensorfile.write(ours, Artefact(dict(table), {"a": [1, "ü", None]}))
    same(safetensors.numpy.load_file(ours), table)
    safetensors.numpy.save_file(table, theirs, metadata={"format": "np"})
    same(tensorfile.read(theirs).arrays, table)
    again = tensorfile.read(ours)
    same(again.arrays, table)
    assert again.meta == {"a": [1, "ü", None]}


@given(
    array=arrays_of.arrays(
        st.sampled_from([np.dtype(name) for name in DTYPES]), arrays_of.array_shapes(min_dims=0, min_side=0, max_dims=4)
    )
)
def test_every_value_survives(tmp_path: Path, array: Any) -> None:
    tensorfile.write(tmp_path / "a", Artefact({"x": array, "y": array.T}, {}))
    same(tensorfile.read(tmp_path / "a").arrays, {"x": array, "y": array.T})


def test_equal_content_gives_equal_bytes_and_the_digest_of_the_file(tmp_path: Path) -> None:
    table = {"b": np.arange(5.0), "a": np.zeros(3, np.uint8), "c": np.asfortranarray(np.arange(6).reshape(2, 3))}
    meta = {"x": 1, "y": 2}
    first = tensorfile.write(tmp_path / "1", Artefact(dict(table), dict(meta)))
    turned = dict(reversed(table.items()))
    second = tensorfile.write(tmp_path / "2", Artefact(turned, dict(reversed(meta.items()))))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert first == second == hashlib.sha256((tmp_path / "1").read_bytes()).hexdigest()
    assert first == tensorfile.file_digest(tmp_path / "1")


def test_streams_are_the_same_as_arrays(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    cuts = (array[start : start + 4].astype(np.float64) for start in range(0, 10, 4))
    whole = tensorfile.write(tmp_path / "1", Artefact({"x": array}, {}))
    assert whole == tensorfile.write(tmp_path / "2", Artefact({"x": Stream((10, 2, 3), array.dtype, cuts)}, {}))


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_stream_of_another_length_than_announced_is_an_error(tmp_path: Path, blocks: int) -> None:
    stream = Stream((4, 2), np.dtype(np.uint8), (np.zeros((2, 2), np.uint8) for _ in range(blocks)))
    with pytest.raises(ValueError, match="stream 'x' ended"):
        tensorfile.write(tmp_path / "1", Artefact({"x": stream}, {}))


def test_arrays_are_mapped_and_cannot_be_changed(tmp_path: Path) -> None:
    tensorfile.write(tmp_path / "1", Artefact({"x": np.arange(8)}, {}))
    array = tensorfile.read(tmp_path / "1").array("x")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def whole(folder: Path) -> bytes:
    tensorfile.write(folder / "whole", Artefact({"x": np.arange(6.0), "y": np.ones((2, 2), np.uint8)}, {"m": 1}))
    return (folder / "whole").read_bytes()


def test_a_cut_file_is_noticed_wherever_it_is_cut(tmp_path: Path) -> None:
    content = whole(tmp_path)
    for length in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(TensorFileError):
            tensorfile.read(tmp_path / "cut")


def test_every_flipped_byte_changes_the_digest(tmp_path: Path) -> None:
    content = whole(tmp_path)
    digest = tensorfile.file_digest(tmp_path / "whole")
    for place in range(0, len(content), 3):
        (tmp_path / "flipped").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert tensorfile.file_digest(tmp_path / "flipped") != digest


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_spoiled_file_is_refused_or_read_but_never_crashes(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(whole(tmp_path))
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "spoiled").write_bytes(content)
    try:
        found = tensorfile.read(tmp_path / "spoiled")
    except TensorFileError:
        return
    assert all(np.asarray(array).nbytes <= len(content) for array in found.arrays.values())


@pytest.mark.parametrize(
    "header",
    [
        "[]", "1", '"text"', "{", "[" * 100_000, '{"x": 1}',
        '{"x": {}}', '{"__metadata__": 3}', '{"__metadata__": {"linkbench": "{"}}',
        '{"__metadata__": {"linkbench": "[1]"}}',
        '{"x": {"dtype": "F64", "shape": [1], "data_offsets": [-8, 0]}}',
        '{"x": {"dtype": "F64", "shape": [1], "data_offsets": [8, 0]}}',
        '{"x": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8, 9]}}',
        '{"x": {"dtype": "F64", "shape": [1], "data_offsets": [0.0, 8.0]}}',
        '{"x": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}}',
        '{"x": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}}',
        '{"x": {"dtype": "F64", "shape": [1], "data_offsets": [0, 4000]}}',
        '{"x": {"dtype": "F64", "shape": [1], "data_offsets": [0, 7]}}',
        '{"x": {"dtype": "F64", "shape": [1267650600228229401496703205376, 0], "data_offsets": [0, 0]}}',
        '{"x": {"dtype": "F64", "shape": [1267650600228229401496703205376], "data_offsets": [0, 8]}}',
        '{"x": {"dtype": "object", "shape": [1], "data_offsets": [0, 8]}}',
        '{"x": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}',
    ],
    ids=lambda header: header[:60],
)  # fmt: skip
def test_nonsense_in_a_header_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 64)
    with pytest.raises(TensorFileError):
        tensorfile.read(path)


def test_metadata_is_plain_json(tmp_path: Path) -> None:
    tensorfile.write(tmp_path / "1", Artefact({}, {"rows": [{"value": 0.1, "name": "x"}]}))
    raw = (tmp_path / "1").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["linkbench"]) == {"rows": [{"value": 0.1, "name": "x"}]}
    assert tensorfile.read(tmp_path / "1").arrays == {}
