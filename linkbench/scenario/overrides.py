"""`--set key.path=value`: changes to a scenario file from the command line."""

from __future__ import annotations

from typing import Any

from linkbench.errors import Problem, ScenarioError
from linkbench.registry.spec import found
from linkbench.scenario.yaml import Document, parse_yaml


def override(document: Document, overrides: tuple[str, ...], sections: tuple[str, ...]) -> Document:
    """Apply `--set measure.resamples=200` to the plain values; the value is read as YAML.

    sections: those that hold plugins; there a plain name makes room for parameters: with `cohort: rendered`,
    `--set cohort.count=100` gives {use: rendered, count: 100}.
    """
    data = document.data
    for text in overrides:
        path, equals, written = text.partition("=")
        if not equals or not path:
            raise ScenarioError("--set", [Problem(text, "expected KEY.PATH=VALUE, for example cohort.path=photos")])
        parent, keys = data, path.split(".")
        for depth, key in enumerate(keys[:-1]):
            child = _child(parent, key, text)
            if isinstance(child, str) and keys[0] in sections:
                child = {"name": child, "architecture": child} if keys[0] == "models" and depth == 1 else {"use": child}
                parent[int(key) if isinstance(parent, list) else key] = child
            parent = child
        last = keys[-1]
        value = parse_yaml("--set", written).data if written.strip() else None
        if isinstance(parent, list):
            _child(parent, last, text)
            parent[int(last)] = value
        elif isinstance(parent, dict):
            parent[last] = value
        else:
            raise ScenarioError("--set", [Problem(text, f"{path!r} leads into {found(parent)}, which has no keys")])
    return document


def _child(parent: Any, key: str, text: str) -> Any:
    if isinstance(parent, list) and key.isdigit() and int(key) < len(parent):
        return parent[int(key)]
    if isinstance(parent, dict):
        return parent.setdefault(key, {})  # a section of which the file says nothing
    there = f"a list, 0 to {len(parent) - 1}" if isinstance(parent, list) else found(parent)
    raise ScenarioError("--set", [Problem(text, f"there is no {key!r} there, but {there}")])
