"""How a process for a plugin is ordered."""

from __future__ import annotations

import json
from typing import NamedTuple


class Order(NamedTuple):
    """How a process for a plugin is made.

    preload: modules of linkbench, or torch, that are imported before it is forked; path: where modules are found;
    readable: files and folders that it may read, listed: folders of which it may see the names; folder: where it works,
    so that relative paths of the user mean what they mean to the user; scratch: the folder that it may write; memory:
    bytes that each of its processes, and all of them together, may use.
    """

    preload: list[str]
    path: list[str]
    readable: list[str]
    listed: list[str]
    folder: str
    scratch: str
    memory: int


def order_text(order: Order) -> bytes:
    """An order as it is sent: its length in four bytes, then JSON."""
    text = json.dumps(order._asdict()).encode()
    return len(text).to_bytes(4, "little") + text
