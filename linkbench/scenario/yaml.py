"""Reading YAML of strangers: the safe subset, with the place of every key and value.

YAML 1.2, so `no` is text and `1e-3` is a number; duplicate keys, tags and unlimited aliases are refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.errors import Location, Problem, ScenarioError

MAX_BYTES = 1 << 20
MAX_DEPTH, MAX_DIGITS = 50, 100
MAX_NODES = 20_000
"""A file that unfolds to more values than this is refused: aliases can make a small file huge."""


class Position(NamedTuple):
    """Line and column, counted from 1."""

    line: int
    column: int


class Document(NamedTuple):
    """Plain values of a YAML file and where each stands; `marks` of a mapping's entry is the place of its key."""

    file: str
    data: Any
    marks: dict[Location, Position]
    values: dict[Location, Position]

    def mark(self, location: Location) -> Position:
        """The place of a location or of its nearest parent that stands in the file."""
        while location not in self.marks:
            location = location[:-1]
        return self.marks[location]


def read_yaml(path: Path) -> Document:
    """Read one YAML file. Raises ScenarioError with line and column for anything that is not plain data."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}{_nearest(path)}"
        raise ScenarioError(str(path), [Problem("", what)]) from None
    if len(raw) > MAX_BYTES:
        raise ScenarioError(str(path), [Problem("", f"has {len(raw)} bytes; at most {MAX_BYTES} are read")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ScenarioError(str(path), [Problem("", "is not UTF-8 text", line, 1)]) from None
    return parse_yaml(str(path), text)


def _nearest(path: Path) -> str:
    """A question about the file that was perhaps meant; empty where there is none in the folder."""
    others = [other.name for other in sorted(path.parent.glob("*.yaml"))] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, others, n=1)
    return f"; did you mean {path.with_name(near[0])}?" if near and not path.exists() else ""


def parse_yaml(file: str, text: str) -> Document:
    """Plain values and their places of a YAML text; `file` is the name used in messages."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        raise ScenarioError(
            file, [Problem("", f"is not valid YAML: {error.problem or error.context}", *place)]
        ) from None
    except YAMLError as error:
        raise ScenarioError(file, [Problem("", f"is not valid YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise ScenarioError(file, [Problem("", "is nested too deeply")]) from None
    if root is None:
        raise ScenarioError(file, [Problem("", "is empty; a scenario starts with 'linkbench: 1'", 1, 1)])
    reader = _Reader(file)
    data = reader.value(root, (), ())
    if reader.problems:
        raise ScenarioError(file, reader.problems)
    return Document(file, data, reader.marks, reader.values)


def document_of(name: str, data: Any) -> Document:
    """A scenario that somebody wrote in Python: a copy as plain values, without places; `name` is used in messages.

    Raises ScenarioError for what no file could hold.
    """
    return Document(name, _plain(name, data, ()), {}, {})


def _plain(name: str, value: Any, location: Location) -> Any:
    if len(location) > MAX_DEPTH:
        raise ScenarioError(
            name, [Problem(location_name(location[:1]), f"is nested more than {MAX_DEPTH} levels deep")]
        )
    if isinstance(value, Mapping):
        return {str(key): _plain(name, inner, (*location, str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, inner, (*location, index)) for index, inner in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    what = f"found a {type(value).__name__}; write text, numbers, booleans, None, lists and mappings"
    raise ScenarioError(name, [Problem(location_name(location), what)])


class _Reader:
    """Turns composed nodes into plain values, noting places and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.marks: dict[Location, Position] = {}
        self.values: dict[Location, Position] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def value(self, node: Any, location: Location, open_nodes: tuple[int, ...]) -> Any:
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

        mark = Position(node.start_mark.line + 1, node.start_mark.column + 1)
        self.marks.setdefault(location, mark)
        self.values[location] = mark
        self.nodes += 1
        if self.nodes > MAX_NODES or id(node) in open_nodes:
            what = f"unfolds to more than {MAX_NODES} values or contains itself; use fewer aliases (&name, *name)"
            raise ScenarioError(self.file, [Problem(location_name(location[:1]), what, *mark)])
        if len(open_nodes) > MAX_DEPTH:
            what = f"is nested more than {MAX_DEPTH} levels deep"
            raise ScenarioError(self.file, [Problem(location_name(location[:1]), what, *mark)])
        inside = (*open_nodes, id(node))
        if not isinstance(node, ScalarNode) and _kind(node) not in ("map", "seq"):
            self._refuse_tag(node, location, mark)
        if isinstance(node, MappingNode):
            return self._mapping(node, location, inside)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*location, index), inside) for index, item in enumerate(node.value)]
        return self._scalar(node, location, mark)

    def _mapping(self, node: Any, location: Location, inside: tuple[int, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = Position(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node.value, str) or _kind(key_node) not in ("str", "int"):
                self.problems.append(Problem(location_name(location), "a key must be a plain word", *mark))
                continue
            key = key_node.value
            if key in out:
                first = self.marks[(*location, key)]
                self.problems.append(
                    Problem(
                        location_name((*location, key)), f"stands there twice; the first is in line {first.line}", *mark
                    )
                )
                continue
            self.marks[(*location, key)] = mark
            out[key] = self.value(value_node, (*location, key), inside)
        return out

    def _scalar(self, node: Any, location: Location, mark: Position) -> Any:
        kind, text = _kind(node), str(node.value)
        if kind in ("str", "timestamp"):
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        plain = text.replace("_", "")
        if kind == "float":
            return float(plain.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if kind == "int" and len(plain) <= MAX_DIGITS:
            return int(plain, 10 if plain.lstrip("+-").isdigit() else 0)
        if kind == "int":
            self.problems.append(Problem(location_name(location), f"is a number of {len(plain)} digits", *mark))
        else:
            self._refuse_tag(node, location, mark)
        return None

    def _refuse_tag(self, node: Any, location: Location, mark: Position) -> None:
        what = f"the tag {node.tag!s} is not allowed; write plain text, numbers, true, false, null, lists and mappings"
        self.problems.append(Problem(location_name(location), what, *mark))


def _kind(node: Any) -> str:
    return str(node.tag).rsplit(":", 1)[-1]


def location_name(location: Location) -> str:
    """`defenders[2].epsilon` for ("defenders", 2, "epsilon")."""
    out = ""
    for part in location:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else str(part))
    return out
