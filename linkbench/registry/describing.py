"""The process in which a package of others is imported: it answers what linkbench asks of the package's plugins."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import ValidationError

import linkbench.registry.spec  # noqa: F401  finds plugins inside plugins
from linkbench.api.text import shown
from linkbench.boundary.messages import Parcel
from linkbench.registry.announced import announced
from linkbench.registry.description import describe, tell
from linkbench.registry.memory import imported
from linkbench.registry.registry import only, registry

PROBLEMS = 100
"""The most problems of one plugin's parameters that are told."""


class Describing:
    """Answers with JSON, and says besides what has happened since the last answer: `modules`, files that were imported,
    and `said`, what was printed."""

    def __init__(self, task: Any, ask: Any) -> None:
        self.told: set[str] = set()

    def _answer(self, value: Any, arrays: Any = None) -> Parcel:
        files, said = imported(), [entry.reason for entry in registry().broken]
        registry().broken.clear()
        new, self.told = sorted(files - self.told), files
        return Parcel(dict(arrays or {}), {"answer": value, "modules": new, "said": said})

    def announced(self, given: Parcel) -> Parcel:
        """What an entry point announces. given: name, value."""
        name = given.meta["name"]
        return self._answer(list(announced(name, EntryPoint(name, given.meta["value"], "linkbench").load)))

    def know(self, given: Parcel) -> Parcel:
        """From now on there are these plugins of packages, and no others. given: plugins."""
        only(given.meta["plugins"])
        return self._answer(None)

    def described(self, given: Parcel) -> Parcel:
        """The description of a class. given: kind, name."""
        return self._answer(describe(registry().imported(given.meta["kind"], given.meta["name"])))

    def validated(self, given: Parcel) -> Parcel:
        """Parameters with defaults, as JSON, and what is read and run with them; or `problems`: place, type and message
        of each. given: kind, name, params (as text), strict."""
        cls = registry().imported(given.meta["kind"], given.meta["name"])
        try:
            plugin = cls.model_validate(json.loads(given.meta["params"]), strict=given.meta["strict"])
        except ValidationError as error:
            return self._answer({"problems": [
                [list(problem["loc"]), problem["type"], shown(problem["msg"])] for problem in error.errors()[:PROBLEMS]
            ]})  # fmt: skip
        return self._answer(
            {
                "params": plugin.model_dump(mode="json", by_alias=True),
                "input_files": tell(plugin, "input_files", [])[0],
                "code_modules": tell(plugin, "code_modules", [])[0],
            }
        )

    def asked(self, given: Parcel) -> Parcel:
        """The answer to a question. given: kind, name, params, question, arguments."""
        cls = registry().imported(given.meta["kind"], given.meta["name"])
        plugin = cls.model_validate(given.meta["params"], strict=False)
        return self._answer(*tell(plugin, given.meta["question"], given.meta["arguments"]))
