"""Messages between the harness and the process of a plugin: a JSON header and raw arrays, never a pickle.

    bytes 0..3    `LB01`
    bytes 4..7    length of the header, little endian
    header        {"kind": text, "meta": JSON object, "arrays": [[name, type, shape, order], ...]}
    then          the bytes of each array, one after the other

The order of an array is `C`, or `last` for photos [n, c, h, w] whose colours lie side by side in memory, as networks
want them: they keep that order on the way. Everything is checked before memory is taken for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from linkbench.api.data import Array
from linkbench.errors import PluginError

MARK = b"LB01"

HEADER = 1 << 24
"""Bytes of a header, at most."""

MOST = 1 << 34
"""Bytes of arrays in one message, at most, where nobody expects fewer."""

ARRAYS, DIMENSIONS, NAME = 20_000, 8, 300
"""How many arrays a message may have, how many dimensions an array, and how many letters its name."""

TYPES = {
    np.dtype(name).name: np.dtype(name)
    for name in (
        "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
        "bool",
    )
}  # fmt: skip
"""Types that cross: numbers of one size; no objects, no text, nothing complex."""


class Message(NamedTuple):
    """What one side tells the other."""

    kind: str
    meta: dict[str, Any]
    arrays: dict[str, Array]


class Parcel(NamedTuple):
    """What one call gives, or returns: arrays by name (tensors too, while they stay in one process), and JSON."""

    arrays: dict[str, Any]
    meta: dict[str, Any]


class BadMessageError(PluginError):
    """What came is no message; whoever sent it is not to be listened to any more."""


def encode(message: Message) -> Iterator[memoryview]:
    """The bytes of a message, part by part. Raises BadMessageError for what cannot cross."""
    described, bodies = [], []
    for name, array in message.arrays.items():
        if type(array) is not np.ndarray or array.dtype.name not in TYPES or TYPES[array.dtype.name] != array.dtype:
            found = array.dtype if type(array) is np.ndarray else type(array).__name__
            raise BadMessageError(f"{name!r} is {found}, which cannot cross; plain arrays of numbers can")
        last = array.ndim == 4 and not array.flags.c_contiguous and array.transpose(0, 2, 3, 1).flags.c_contiguous
        described.append([name, array.dtype.name, list(array.shape), "last" if last else "C"])
        body = array.transpose(0, 2, 3, 1) if last else np.ascontiguousarray(array)
        bodies.append(body.reshape(-1).view(np.uint8))
    try:
        header = json.dumps({"kind": message.kind, "meta": message.meta, "arrays": described}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadMessageError(f"what goes with it is no JSON: {error}") from None
    if len(header) > HEADER:
        raise BadMessageError(f"what goes with it has {len(header):,} bytes of JSON, at most {HEADER:,} can cross")
    yield memoryview(MARK + len(header).to_bytes(4, "little") + header)
    yield from (body.data for body in bodies if len(body))


def decode(fill: Callable[[memoryview], None], most: int = MOST) -> Message:
    """Read one message. fill: fills a buffer with the next bytes, or raises; most: bytes of all arrays together.

    Raises BadMessageError for what is none, before memory is taken for it.
    """
    start = bytearray(8)
    fill(memoryview(start))
    length = int.from_bytes(start[4:], "little")
    if start[:4] != MARK or length > HEADER:
        raise BadMessageError("it sent bytes that are no message")
    text = bytearray(length)
    fill(memoryview(text))
    try:
        header = json.loads(text, parse_constant=_refuse)
        kind, meta, arrays = header["kind"], header["meta"], header["arrays"]
        wanted = {name: _described(*rest) for name, *rest in arrays}
        if not (isinstance(kind, str) and isinstance(meta, dict) and all(isinstance(name, str) for name in wanted)):
            raise ValueError("its parts are of other types")
        if len(wanted) != len(arrays) or len(arrays) > ARRAYS or any(len(name) > NAME for name in wanted):
            raise ValueError("its arrays have no sound names")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadMessageError(f"it sent a message whose header is unsound: {str(error)[:200]}") from None
    size = sum(math.prod(shape) * dtype.itemsize for dtype, shape, _ in wanted.values())
    if size > most:
        raise BadMessageError(f"it sent {size:,} bytes of arrays where at most {most:,} are expected")
    return Message(kind, meta, {name: _array(fill, *form) for name, form in wanted.items()})


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _described(name: Any, shape: Any, order: Any) -> tuple[np.dtype[Any], tuple[int, ...], str]:
    dtype = TYPES[name]
    if not isinstance(shape, list) or len(shape) > DIMENSIONS or any(type(extent) is not int for extent in shape):
        raise ValueError("a shape is no list of whole numbers")
    if any(not 0 <= extent < 1 << 48 for extent in shape) or order not in ("C", "last"):
        raise ValueError("a shape is impossible")
    if order == "last" and len(shape) != 4:
        raise ValueError("only photos have colours side by side")
    return dtype, tuple(shape), order


def _array(fill: Callable[[memoryview], None], dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> Array:
    held = (shape[0], *shape[2:], shape[1]) if order == "last" else shape
    out: Array = np.empty(held, np.uint8 if dtype == np.bool_ else dtype)
    if out.size:
        fill(out.reshape(-1).view(np.uint8).data)
    if dtype == np.bool_:
        out = out != 0  # a truth value is one byte, and not every byte is a truth value
    return out.transpose(0, 3, 1, 2) if order == "last" else out


def plain(array: Any) -> Array:
    """An array, or a tensor of torch on any device, as a plain array that can cross."""
    if type(array) is np.ndarray:
        return array
    detached = array.detach().cpu()
    out: Array = np.asarray(detached.resolve_conj().resolve_neg().numpy())
    return out


def checked(
    arrays: Mapping[str, Any], name: str, dtype: str, shape: tuple[int | None, ...], *, finite: bool = True
) -> Array:
    """One array of an answer, of the right type and shape (None: any extent) and, for floats, finite.

    Raises BadMessageError saying what was expected and what came.
    """
    array = arrays.get(name)
    if type(array) is not np.ndarray:
        raise BadMessageError(f"it returned no {name}")
    right = len(shape) == array.ndim and all(
        wanted is None or wanted == found for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype.name != dtype or not right:
        wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
        raise BadMessageError(f"it returned {name} as {array.dtype} {list(array.shape)}, expected {dtype} [{wanted}]")
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadMessageError(f"it returned {name} with numbers that are NaN or infinite")
    return array
