"""Which executor carries out a run, from its name and parameters as the command line or Python gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from linkbench.api.base import Executor
from linkbench.errors import InputError
from linkbench.registry.registry import registry
from linkbench.registry.spec import parse_spec

WORKERS = "LINKBENCH_WORKERS"
"""Environment variable: how many workers there are where nothing else is said."""


def chosen(executor: str | Mapping[str, Any] | Executor, workers: int | str | None = None) -> Executor:
    """The executor: itself, its name, or a mapping with `use` and parameters, as plugins stand in a scenario.

    workers: its parameter of that name. Raises InputError for an unknown executor or parameter.
    """
    if isinstance(executor, Executor):
        return executor
    entry: dict[str, Any] = {"use": executor} if isinstance(executor, str) else dict(executor)
    if workers is not None:
        entry["workers"] = workers
    elif asked := os.environ.get(WORKERS, "").strip():
        entry = _with_default(entry, int(asked) if asked.isdecimal() else asked)
    specs, wrong = parse_spec("executor", entry, ())
    if wrong:
        said = (f"{'.'.join(map(str, where))}: {what}" if where else what for where, what in wrong)
        raise InputError(f"executor {entry.get('use')!r}: {'; '.join(said)}")
    if len(specs) != 1:
        raise InputError("a list spans no grid of executors; give one value to each parameter")
    # the one kind that is imported also from other packages: whoever names it hands the run over to it
    plugin: Executor = registry().imported("executor", specs[0].name).model_validate(specs[0].params, strict=False)
    return plugin


def _with_default(entry: dict[str, Any], workers: int | str) -> dict[str, Any]:
    """The entry with workers where it says nothing of them, and the executor has that parameter."""
    known = registry().plugins["executor"].get(str(entry.get("use")))
    if "workers" in entry or known is None:
        return entry
    takes = "workers" in registry().load("executor", known.name).model_fields
    return {**entry, "workers": workers} if takes else entry
