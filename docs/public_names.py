"""The generated part of docs/api.md: every public name with its signature and its docstring."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import re
import textwrap
from pathlib import Path
from typing import Any

from linkbench import public

TITLES = {
    "linkbench.face": "Scenarios and runs",
    "linkbench.scenario.file": "Scenarios and runs",
    "linkbench.results.results": "Results",
    "linkbench.results.cells": "Results",
    "linkbench.risk.assess": "Results",
    "linkbench.metrics.scores": "Mathematics: `linkbench.metrics`",
    "linkbench.metrics.counting": "Mathematics: `linkbench.metrics`",
    "linkbench.metrics.ranking": "Mathematics: `linkbench.metrics`",
    "linkbench.metrics.intervals": "Mathematics: `linkbench.metrics`",
    "linkbench.metrics.comparison": "Mathematics: `linkbench.metrics`",
    "linkbench.metrics.leak": "Mathematics: `linkbench.metrics`",
    "linkbench.api.base": "Kinds of plugins",
    "linkbench.api.countermeasure": "Kinds of plugins",
    "linkbench.api.hookspecs": "Registration",
    "linkbench.api.fields": "Types of parameters",
    "linkbench.api.budget": "Budgets",
    "linkbench.api.knowledge": "What plugins are given and give back",
    "linkbench.api.training_data": "What plugins are given and give back",
    "linkbench.api.gallery": "What plugins are given and give back",
    "linkbench.api.data": "What plugins are given and give back",
    "linkbench.api.seeds": "What plugins are given and give back",
    "linkbench.api.schema": "What plugins are given and give back",
    "linkbench.api.executor": "Jobs of executors",
    "linkbench.api.resources": "Jobs of executors",
    "linkbench.errors": "Errors",
    "linkbench.version": "Version",
}
"""The heading under which the names of a module stand, in the order of the page."""


def page() -> str:
    """All public names, by heading."""
    found = {package: public.homes(package) for package in ("linkbench", "linkbench.metrics")}
    modules = {module for homes in found.values() for module in homes.values()}
    if missing := sorted(modules - set(TITLES)):
        raise SystemExit(f"docs/public_names.py has no heading for names of {', '.join(missing)}; add them to TITLES")
    parts = []
    for title in dict.fromkeys(TITLES.values()):
        parts.append(f"## {title}\n")
        if "Mathematics" in title:
            parts.append(_prose(inspect.getdoc(importlib.import_module("linkbench.metrics")) or ""))
        for module in (module for module, where in TITLES.items() if where == title):
            names = [name for homes in found.values() for name, home in homes.items() if home == module]
            parts += [_entry(module, name) for name in names]
    return "\n".join(parts)


def _entry(module: str, name: str) -> str:
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        return _class(name, value)
    if inspect.isfunction(value):
        return f"### `{name}`\n\n{_signature(value)}\n{_described(name, inspect.getdoc(value))}"
    return f"### `{name}`\n\n{_described(name, _notes(module).get(name))}"


def _class(name: str, value: type) -> str:
    bases = [base.__name__ for base in value.__bases__ if base.__module__.startswith("linkbench.")]
    lines = [f"### `{name}`\n"]
    if bases:
        lines.append(f"A `{bases[0]}`.\n")
    fields = [*getattr(value, "_fields", ()), *getattr(value, "__dataclass_fields__", ())]
    if fields:
        lines.append(f"Fields: {', '.join(f'`{field}`' for field in fields)}.\n")
    lines.append(_described(name, value.__doc__ and inspect.getdoc(value)))
    notes = _class_notes(value)
    for member, found in list(vars(value).items()):
        inner = inspect.unwrap(getattr(found, "__func__", found))
        if member.startswith("_") or member in fields:
            continue
        if inspect.isfunction(inner):
            if inner.__module__ == value.__module__ and inner.__doc__:
                lines += [_signature(inner), _prose(inspect.getdoc(inner) or "")]
        elif isinstance(found, property | functools.cached_property) and found.__doc__:
            lines += [f"`{member}`: {_prose(inspect.getdoc(found) or '')}"]
    lines += [f"`{member}`: {_prose(text)}" for member, text in notes.items() if not member.startswith("_")]
    return "\n".join(lines)


def _signature(function: Any) -> str:
    """A definition as it is written, without its body; one parameter a line where it is long."""
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(found, ast.FunctionDef)
    above = "".join(f"@{ast.unparse(each)}\n" for each in found.decorator_list if ast.unparse(each) == "classmethod")
    returns = f" -> {ast.unparse(found.returns)}" if found.returns is not None else ""
    parameters = _parameters(found.args)
    text = f"def {found.name}({', '.join(parameters)}){returns}: ..."
    if len(text) > 100:
        lines = "".join(f"    {each},\n" for each in parameters)
        text = f"def {found.name}(\n{lines}){returns}: ..."
    return f"```python\n{above}{text}\n```\n".replace("'", '"')


def _parameters(arguments: ast.arguments) -> list[str]:
    """Each parameter with its type and its default."""
    plain, defaults = arguments.args, arguments.defaults
    pairs = [*zip(plain, [None] * (len(plain) - len(defaults)) + defaults, strict=True)]
    named = [*zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    texts = [
        ast.unparse(each) + (f" = {ast.unparse(default)}" if default is not None else "")
        for each, default in (*pairs, *named)
    ]
    rest = arguments.vararg
    between = [f"*{ast.unparse(rest)}"] if rest is not None else ["*"] if named else []
    return [*texts[: len(plain)], *between, *texts[len(plain) :]]


def _described(name: str, text: str | None) -> str:
    if not text:
        raise SystemExit(f"the public name {name} has no docstring; say what it is")
    return _prose(text)


def _prose(text: str) -> str:
    """A docstring as Markdown: examples of a session become blocks."""
    text = inspect.cleandoc(text)
    session = re.compile(r"(?:^    .*\n?)+", re.MULTILINE)
    return session.sub(lambda found: f"```pycon\n{inspect.cleandoc(found[0])}\n```\n", text) + "\n"


@functools.cache
def _notes(module: str) -> dict[str, str]:
    """The strings that stand below the assignments of a module, by name."""
    return _below(ast.parse(Path(importlib.import_module(module).__file__ or "").read_text()).body)


def _class_notes(value: type) -> dict[str, str]:
    tree = ast.parse(Path(inspect.getfile(value)).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == value.__name__)
    return _below(found.body)


def _below(body: list[ast.stmt]) -> dict[str, str]:
    out = {}
    for assigned, text in itertools.pairwise(body):
        if isinstance(assigned, ast.Assign):
            names = [ast.unparse(target) for target in assigned.targets]
            names = names[0].strip("()").split(", ") if len(names) == 1 else names
        elif isinstance(assigned, ast.AnnAssign):
            names = [ast.unparse(assigned.target)]
        else:
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            out.update(dict.fromkeys(names, text.value.value))
    return out
