"""Arrays of small whole numbers as text: what an entry keeps per photo, so that its numbers can be recomputed."""

from __future__ import annotations

import base64
import binascii
import json
import lzma
from collections.abc import Mapping

import numpy as np

from linkbench.api.data import Array

LARGEST = 1 << 28
"""Bytes that a blob may unfold to; a larger one is refused before it is unfolded."""

_TYPES = ("|u1", "<u2", "<u4")
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 22}]


def pack(arrays: Mapping[str, Array]) -> str:
    """Whole numbers 0 to 2^32 - 1, any shape, in the smallest type that holds them; equal arrays give equal text."""
    header, bodies = [], []
    for name, array in arrays.items():
        top = int(array.max(initial=0))
        kind = next(kind for kind, limit in zip(_TYPES, (1 << 8, 1 << 16, 1 << 32), strict=True) if top < limit)
        header.append([name, kind, list(array.shape)])
        bodies.append(np.ascontiguousarray(array, dtype=kind).tobytes())
    content = json.dumps(header).encode() + b"\n" + b"".join(bodies)
    return base64.b64encode(lzma.compress(content, format=lzma.FORMAT_XZ, filters=_FILTERS)).decode()


def unpack(text: str) -> dict[str, Array]:
    """The arrays again, int64. Raises ValueError where the text holds no such arrays."""
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28)
        content = reader.decompress(base64.b64decode(text, validate=True), LARGEST)
        if not reader.eof:
            raise ValueError("it is cut short or unfolds to more than is read")
        line, _, body = content.partition(b"\n")
        out, start = {}, 0
        for name, kind, shape in json.loads(line):
            if kind not in _TYPES or any(not isinstance(extent, int) or extent < 0 for extent in shape):
                raise ValueError("its header is none of ours")
            size = int(np.prod([np.dtype(kind).itemsize, *shape], dtype=np.int64))
            if start + size > len(body):
                raise ValueError("it ends before its arrays do")
            out[str(name)] = np.frombuffer(body, kind, size // np.dtype(kind).itemsize, start).reshape(shape)
            start += size
    except (binascii.Error, lzma.LZMAError, EOFError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"it cannot be unpacked ({error})") from None
    return {name: array.astype(np.int64) for name, array in out.items()}
