"""Weights of networks as files: safetensors read and written; pickles only by the import command, and only as data."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linkbench.api.data import Artefact
from linkbench.errors import WeightsError
from linkbench.store import tensorfile


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises WeightsError if the file cannot be read or is not of this form."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not a safetensors file ({error}). Make one with: "
            f"linkbench weights import {path} --architecture NAME --out FILE.safetensors"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None


def read_foreign(path: Path) -> dict[str, Tensor]:
    """A state dictionary from safetensors, .pth or .pt; nothing in the file is executed. Raises WeightsError."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix == ".t7":
        raise WeightsError(
            f"{path} is a Lua Torch file, which nothing reads safely any more; bring its weights as a state dictionary "
            f"(.pth) with layers named conv1_1 .. fc8"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickles: read as data, or refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None
    except pickle.UnpicklingError as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{path} is refused: it holds more than tensors, and reading it would run its code. Save the "
            f"state_dict() alone, or as safetensors, where you trust it ({reason})"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, struct.error, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is not a file of torch.save: {str(error).partition(chr(10))[0]}") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError(f"{path} holds {type(loaded).__name__}, expected a state dictionary of tensors by name")
    wrong = next(
        (name for name, value in loaded.items() if not (isinstance(name, str) and isinstance(value, Tensor))), None
    )
    if wrong is not None:
        raise WeightsError(f"{path}: {wrong!r} is no tensor; expected a state dictionary of tensors by name")
    return loaded


def check_finite(state: dict[str, Tensor], where: str) -> None:
    """Raise WeightsError naming the first tensor with a number that is not finite."""
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{where}: weights {name!r} hold numbers that are not finite")


def write_safetensors(state: dict[str, Tensor], path: Path) -> str:
    """Write float32 tensors; returns the SHA-256 of the file. The caller makes it atomic."""
    arrays = {name: np.ascontiguousarray(tensor.detach().float().numpy()) for name, tensor in state.items()}
    return tensorfile.write(path, Artefact(dict(arrays), {}))
