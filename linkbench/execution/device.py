"""What a run needs before any work starts: its device, and torch where there are networks. Raises in good time."""

from __future__ import annotations

import importlib.util

from linkbench.errors import InputError, MissingExtraError


def check_device(device: str) -> None:
    """Refuse a device that is not there. Raises InputError, or MissingExtraError without torch."""
    kind = device.partition(":")[0]
    if kind == "cpu" and ":" not in device:
        return
    if kind != "cuda":
        raise InputError(f"{device!r} is no device; use cpu, cuda or cuda:0")
    try:
        import torch
    except ImportError:
        raise MissingExtraError("The device cuda", "torch", "photos") from None
    if not torch.cuda.is_available():
        raise InputError(f"this torch sees no CUDA device, so it cannot run on {device!r}; use cpu")


def check_torch() -> None:
    """Refuse networks where torch is not installed; torch is not imported. Raises MissingExtraError."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("A scenario with photos", "torch", "photos")
