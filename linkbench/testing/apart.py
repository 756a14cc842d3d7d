"""A plugin of another package is examined in a process of its own, behind the boundary that it meets in a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from linkbench.boundary.messages import Parcel
from linkbench.boundary.process import Process, Wanted
from linkbench.registry.announced import OWN, Broken
from linkbench.registry.importable import importable
from linkbench.registry.registry import registry
from linkbench.testing.check import Outcome
from linkbench.testing.kit import examine


class Examining:
    """In the process of the plugin: all its checks."""

    def __init__(self, task: dict[str, Any], ask: Any) -> None:
        self.task = task
        os.chdir(os.environ["TMPDIR"])  # where what the plugin leaves behind is seen
        registry().broken += [Broken(*entry) for entry in task["broken"]]

    def examine(self, given: Parcel) -> Parcel:
        """meta: checks, as of `Outcome`."""
        outcomes = examine(self.task["kind"], self.task["name"], json.loads(self.task["params"]))
        return Parcel({}, {"checks": [list(outcome) for outcome in outcomes]})


def examine_apart(kind: str, name: str, params: Mapping[str, Any] | None = None) -> list[Outcome]:
    """As `examine`; a plugin that is not linkbench's own has a process of its own, where the system can do that.

    Raises PluginError for one that ends it.
    """
    found = registry().find(kind, name)
    if found.distribution == OWN or not hasattr(os, "fork"):
        return examine(kind, name, params)
    may_read, may_list = importable([found.module])
    files = [value for value in (params or {}).values() if isinstance(value, str) and os.path.exists(value)]
    order = {
        "prepare": [["linkbench.registry.registry:only", [list(each) for each in registry().everyone()]]],
        "run": f"{Examining.__module__}:{Examining.__qualname__}",
        "task": {
            "kind": kind,
            "name": name,
            "params": json.dumps(params or {}),  # text: a value may be no number of JSON
            "broken": [list(entry) for entry in registry().broken],
        },
    }
    with Process(Wanted(f"{kind} {name}", ["linkbench.testing.kit", "torch"], [*may_read, *files], may_list)) as there:
        there.call("open", Parcel({}, order))
        checks = there.call("examine", Parcel({}, {})).meta["checks"]
    return [Outcome(*check) for check in checks]
