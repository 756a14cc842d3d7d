"""What a scenario needs of the machine that is to run it: packages and the user's files. Nothing is computed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

from linkbench.registry.code_digest import version_of
from linkbench.registry.spec import Spec
from linkbench.scenario.file import Scenario, every_plugin


def missing(scenario: Scenario) -> list[str]:
    """Everything that is not there, in words with what to do; empty where the scenario can run here."""
    out: dict[str, None] = {}
    if scenario.models and importlib.util.find_spec("torch") is None:
        out["torch is not installed, which networks need: pip install 'linkbench[photos]'"] = None
    for spec in every_plugin(scenario):
        out |= dict.fromkeys(_missing_for(spec))
    return list(out)


def _missing_for(spec: Spec) -> Iterator[str]:
    """Files that cannot be read, and libraries that a plugin says it needs and that are not installed."""
    plugin = spec.plugin()
    for path in plugin.input_files():
        if not path.exists():
            yield f"{spec.kind} {spec.label} reads {path}, which does not exist"
    for library in plugin.libraries:
        name = re.split(r"[^\w.-]", library)[0]
        if version_of(name) is None:
            yield f"{spec.kind} {spec.label} needs {name}, which is not installed: pip install {name}"
