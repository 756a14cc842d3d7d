"""Checks for plugins of every kind: the class, its parameters, and that finding it costs nothing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from linkbench.api.kinds import KINDS
from linkbench.registry.registry import registry
from linkbench.testing.check import Check, Skip, Subject, run_check

HEAVY = (
    "torch", "torchvision", "tensorflow", "jax", "keras", "scipy", "pandas", "sklearn", "skimage", "cv2", "matplotlib",
    "kornia", "transformers", "timm", "art", "torchattacks",
)  # fmt: skip
"""Packages that take a noticeable time to import; a plugin imports them in its methods."""

_LISTING = """
import importlib, json, sys

class Heavy(ImportError):
    pass

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise Heavy(f"imports {name.partition('.')[0]}")

sys.meta_path.insert(0, Refuse())
found = {}
for target in sys.argv[2:]:
    try:
        module, _, name = target.partition(":")
        getattr(importlib.import_module(module), name or "__name__")
    except Heavy as error:
        found[target] = str(error)
    except Exception as error:
        found[target] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@cache
def _imports(targets: tuple[str, ...]) -> dict[str, str]:
    """Which of these, "module:name" or a module, cannot be imported without heavy packages, and why.

    Seen in a process of its own.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", _LISTING, ",".join(HEAVY), *targets], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, f"listing plugins in another process failed: {done.stderr.strip()}"
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def is_registered(subject: Subject) -> None:
    """An installed package announces the plugin, with a summary, and nothing of that package is broken."""
    if subject.name is None:
        for plugins in registry().plugins.values():
            if any(found.target == subject.target for found in plugins.values()):
                return
        raise Skip(f"the class {subject.target} was given as it is, and no installed package registers it")
    found = registry().find(subject.kind, subject.name)
    assert found.summary.strip(), "the registration has no summary"
    assert len(found.summary) <= 100, f"the summary has {len(found.summary)} letters; a table has room for 100"
    broken = [entry for entry in registry().broken if entry.distribution == found.distribution]
    assert not broken, f"a registration of {found.distribution} is broken: {broken[0].name}: {broken[0].reason}"


def importing_it_is_light(subject: Subject) -> None:
    """Listing and validating import the plugin's module; torch and its like belong into the methods."""
    target, targets, entries = subject.target, {subject.target}, set[str]()
    if subject.name is not None:
        found = registry().find(subject.kind, subject.name)
        target, plugins = found.target, [each for kind in registry().plugins.values() for each in kind.values()]
        targets = {each.target for each in plugins if each.distribution == found.distribution}  # together it is faster
        installed = entry_points(group="linkbench")
        entries = {each.value for each in installed if each.dist and each.dist.name == found.distribution}
    heavy = _imports(tuple(sorted(targets | entries)))
    assert target not in heavy, f"{target} {heavy[target]} when it is imported; import it inside the method"
    for entry in entries & set(heavy):
        raise AssertionError(f"the registration {entry} {heavy[entry]} when it is imported; import it inside a method")


def parameters_have_a_schema(subject: Subject) -> None:
    """Parameters are typed fields: a JSON Schema exists, values survive JSON, unknown names are refused."""
    from pydantic import ValidationError

    cls = subject.cls
    assert cls.__doc__, "the class has no docstring"
    schema = cls.model_json_schema(by_alias=True)
    json.dumps(schema)
    for name, parameter in schema.get("properties", {}).items():
        typed = {"type", "anyOf", "allOf", "oneOf", "enum", "const", "$ref"} & set(parameter)
        assert typed, f"parameter {name!r} has no type in the JSON Schema"
    plugin = subject.plugin()
    dumped = json.loads(json.dumps(plugin.model_dump(mode="json", by_alias=True)))
    back = cls.model_validate(dumped, strict=False).model_dump(mode="json", by_alias=True)
    assert back == dumped, f"parameters change on their way through JSON: {dumped} became {back}"
    try:
        cls.model_validate({**subject.params, "no-such-parameter": 1}, strict=False)
    except ValidationError:
        return
    raise AssertionError("an unknown parameter is accepted; keep extra='forbid'")


def silent(use: Callable[[Subject], Any]) -> Check:
    """The check that nothing was printed in a use of the plugin (a function of the subject; its result has `said`)."""

    def nothing_is_printed(subject: Subject) -> None:
        said = subject.once(use).said
        assert not said, f"it printed {said[:60]!r}; standard output belongs to linkbench's tables"

    return nothing_is_printed


def nothing_is_left_behind(subject: Subject) -> None:
    """Of all uses above: no hook, setting, patch, thread, process or file."""
    if subject.kind == "executor":
        raise Skip("the processes of an executor end when linkbench does")
    if not subject.used:  # somebody asked for this check alone
        for check in importlib.import_module(KINDS[subject.kind].checks).CHECKS:
            run_check(check, subject)
    left = list(subject.before.left())
    assert not left, "; ".join(left)


CHECKS = (is_registered, importing_it_is_light, parameters_have_a_schema)
