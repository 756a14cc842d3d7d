"""Arrays in the safetensors format: written as a stream, read as a memory map.

The format is eight bytes of header length, a JSON header and the raw arrays. The library writes only what is held in
memory; stages stream photos, so linkbench writes the format itself. Equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from linkbench.api.data import Array, Artefact, Stream
from linkbench.errors import TensorFileError

_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_TYPES = {short: np.dtype(name) for name, short in _NAMES.items()}

MAPPED = 1 << 20
"""Bytes of arrays from which a file is mapped instead of read: a map holds one of the process's open files."""


def write(path: Path, artefact: Artefact) -> str:
    """Write the artefact, blocks of streams as they come. Returns the SHA-256 of the file."""
    names = _in_order(artefact.arrays)
    header: dict[str, Any] = {"__metadata__": {"linkbench": json.dumps(artefact.meta, sort_keys=True)}}
    offset = 0
    for name in names:
        array = artefact.arrays[name]
        size = int(np.prod(array.shape, dtype=np.int64)) * np.dtype(array.dtype).itemsize
        header[name] = {
            "dtype": _NAMES[np.dtype(array.dtype).name],
            "shape": [int(extent) for extent in array.shape],
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            file.write(part)
            digest.update(part)
        for name in names:
            start, end = header[name]["data_offsets"]
            for part in _blocks(artefact.arrays[name]):
                file.write(part)
                digest.update(part)
                start += len(part)
            if start != end:
                raise ValueError(f"stream {name!r} ended {end - start} bytes before its announced shape")
    return digest.hexdigest()


def _in_order(arrays: dict[str, Array | Stream]) -> list[str]:
    """The names in the order of the file: large alignments first, as the format's own library does, so that every array
    can be mapped in place; among equals streams after those that they wait for, and else by name."""

    def waits(name: str) -> int:
        array = arrays[name]
        return 0 if not isinstance(array, Stream) or array.after is None else 1 + waits(array.after)

    names = sorted(arrays, key=lambda name: (-np.dtype(arrays[name].dtype).itemsize, waits(name), name))
    for name in names:
        array = arrays[name]
        after = array.after if isinstance(array, Stream) else None
        if after is not None and names.index(after) > names.index(name):
            raise ValueError(f"stream {name!r} waits for {after!r}, whose numbers are smaller; give it a smaller type")
    return names


def _blocks(array: Array | Stream) -> Any:
    blocks = array.blocks if isinstance(array, Stream) else _slices(array)
    for block in blocks:
        yield np.ascontiguousarray(block, dtype=array.dtype).reshape(-1).view(np.uint8).data


def _slices(array: Array) -> Any:
    if array.ndim == 0:
        yield array.reshape(1)
        return
    step = max(1, (1 << 24) // max(1, array.nbytes // max(1, len(array))))
    for start in range(0, len(array), step):
        yield array[start : start + step]


def read(path: Path) -> Artefact:
    """The artefact; arrays are read-only, those of large files memory-mapped.

    Raises TensorFileError if the file is cut or not of this form.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise TensorFileError(f"{path}: header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
            if size - 8 - length < MAPPED:
                data = np.frombuffer(file.read(), np.uint8)
            else:
                whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                data = np.frombuffer(whole, np.uint8, offset=8 + length)
        meta = dict(json.loads(header.pop("__metadata__", {}).get("linkbench", "{}")))
        arrays: dict[str, Array | Stream] = {}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            if not 0 <= start <= end <= size - 8 - length or min(entry["shape"], default=0) < 0:
                raise TensorFileError(f"{path}: array {name!r} does not lie inside the file")
            raw = data[start:end]
            arrays[name] = raw.view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise TensorFileError(f"{path}: {error}") from error
    return Artefact(arrays, meta)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
