"""What the use of a plugin left behind in its process and in folders: hooks, settings, patches, threads, files."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

from linkbench.execution.limits import settings

PATCHED = (
    "builtins", "numpy", "numpy.linalg", "numpy.random", "torch", "torch.nn", "torch.nn.functional", "torch._tensor",
    "torch.nn.modules.module", "torch.autograd",
)  # fmt: skip
"""Modules whose functions and classes nobody may replace, besides all of linkbench."""

HOOKS = (
    "_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks",
    "_global_buffer_registration_hooks", "_global_module_registration_hooks", "_global_parameter_registration_hooks",
)  # fmt: skip
"""Where torch keeps hooks that meet every module."""

OF_TORCH = "torchinductor_"
"""How torch names a folder that it makes for itself."""

OWN_THREADS = "linkbench-"
"""How threads of linkbench's own are named; they stay for the next call."""


class Traces(NamedTuple):
    """How things are: settings and hooks by what they are called, the functions and classes of modules by name,
    threads, processes, and the files of some folders."""

    settings: dict[str, Any]
    code: dict[str, tuple[int, str]]
    threads: frozenset[int]
    children: frozenset[int]
    files: frozenset[str]
    folders: tuple[str, ...]

    @classmethod
    def now(cls, folders: tuple[str, ...] = ()) -> Traces:
        return cls(
            {**{name: value for name, (value, _) in settings().items()}, **_hooks(), **_modes()},
            {
                name: (id(value), str(getattr(value, "__module__", "")))
                for module in _modules()
                for name, value in _defined(module)
            },
            frozenset(each.ident or 0 for each in threading.enumerate() if not _expected(each)),
            frozenset(_children()),
            frozenset(
                str(Path(folder, name))
                for folder in folders
                for name in os.listdir(folder)
                if not name.startswith(OF_TORCH)
            ),
            folders,
        )

    def left(self) -> Iterator[str]:
        """What is otherwise than it was, in words."""
        now = Traces.now(self.folders)
        for name, value in self.settings.items():
            if now.settings.get(name, value) != value:
                yield f"{name} {'are' if name.endswith('s') else 'is'} not as before"
        for name, (value, _) in self.code.items():
            other, maker = now.code.get(name, (0, ""))
            # libraries replace functions of their own when they are first used
            if other != value and maker.partition(".")[0] != name.partition(".")[0]:
                yield f"{name} was replaced"
        if extra := now.threads - self.threads:
            yield f"{len(extra)} thread{'s' if len(extra) > 1 else ''} still run{'' if len(extra) > 1 else 's'}"
        if extra := now.children - self.children:
            yield f"{len(extra)} process{'es' if len(extra) > 1 else ''} it started still run"
        if found := sorted(now.files - self.files):
            yield f"{found[0]} was left behind" + (f", and {len(found) - 1} more" if len(found) > 1 else "")


def _hooks() -> dict[str, Any]:
    module = sys.modules.get("torch.nn.modules.module")
    if module is None:
        return {}
    return {f"torch's hooks ({name.strip('_')})": len(getattr(module, name, ())) for name in HOOKS}


def _modes() -> dict[str, Any]:
    out: dict[str, Any] = {
        f"the handler of {number.name}": id(signal.getsignal(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGSEGV)
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        out["torch's precision of products"] = torch.get_float32_matmul_precision()
        out["torch's mode of inference"] = torch.is_inference_mode_enabled()
        out["torch's automatic precision"] = torch.is_autocast_enabled("cpu")
        out["torch's anomaly detection"] = torch.is_anomaly_enabled()
    return out


def _modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if (name in PATCHED or name.partition(".")[0] == "linkbench") and type(module) is ModuleType:
            yield module


def _defined(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions and classes that a module defines, and the methods of its own classes."""
    for name, value in list(vars(module).items()):
        if issubclass(type(value), type):  # not isinstance: it would ask the value, and some answer with a warning
            yield f"{module.__name__}.{name}", value
            if value.__module__ == module.__name__:
                for inner, method in list(vars(value).items()):
                    if type(method) is FunctionType:
                        yield f"{module.__name__}.{name}.{inner}", method
        elif type(value) in (FunctionType, BuiltinFunctionType):
            yield f"{module.__name__}.{name}", value


def _expected(thread: threading.Thread) -> bool:
    """Whether a thread is linkbench's own, or the one that tqdm keeps for all its progress bars."""
    return thread.name.startswith(OWN_THREADS) or type(thread).__name__ == "TMonitor"


def _children() -> Iterator[int]:
    for file in Path("/proc/self/task").glob("*/children"):
        yield from map(int, file.read_text().split())
