"""What a stage needs of the machine that carries it out."""

from __future__ import annotations

from typing import NamedTuple


class Resources(NamedTuple):
    """Processor cores, share of a GPU (0 to 1) and memory in bytes that are needed at once; 0 says nothing.

    A stage without a core has so little to do that it is not worth sending anywhere.
    """

    cores: int = 0
    gpu: float = 0.0
    memory: int = 0
