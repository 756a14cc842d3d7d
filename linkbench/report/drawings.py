"""The figures of a page: what drawing.js draws, small enough to travel in the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from linkbench.report.figures import theme
from linkbench.report.figures.base import (
    SCHEMA,
    SWITCHES,
    Defaults,
    Section,
    described,
    options_of,
    title,
    views,
)
from linkbench.report.figures.vega import Record, without_legends


class Drawing(NamedTuple):
    """One drawing of a page: its number, its title and what it shows in words."""

    number: int
    title: str
    about: str


class Drawings:
    """All drawings of a page, numbered in their order."""

    def __init__(self, first: Defaults | None = None) -> None:
        self.first = first or Defaults()
        self.found: list[dict[str, Any]] = []
        self.options: dict[str, list[Any]] = {}

    def add(self, section: Section) -> list[Drawing]:
        """The drawings of a figure."""
        params, own = views(section, self.first)
        options = options_of(section)
        for name in SWITCHES:
            known = self.options.setdefault(name, [])
            known += [value for value in options.get(name, ()) if value not in known]
        # the page has switches of its own, which set the parameters of all drawings
        free = [{part: value for part, value in each.items() if part != "bind"} for each in params]
        out = []
        for panel, view in zip(section.panels, own, strict=True):
            about = described(section, panel, self.first)
            spec = {"$schema": SCHEMA, "description": about, "width": "container", "params": free,
                    "title": title(section), **without_legends(view)}  # fmt: skip
            self.found.append({"name": section.id, "spec": spec, "options": options, "rows": packed(panel.rows)})
            out.append(Drawing(len(self.found) - 1, panel.title, about))
        return out

    def switches(self) -> dict[str, list[Any]]:
        """The switches of the page: those that some figure has, with all their values."""
        return {
            name: sorted(values) if name in ("k", "n") else values
            for name, values in self.options.items()
            if len(values) > 1
        }

    def to_json(self) -> dict[str, Any]:
        """What drawing.js reads."""
        return {"config": theme.config(), "dark": theme.dark(), "figures": self.found}


def packed(rows: list[Record]) -> dict[str, Any]:
    """Records by column; repeated words once, with their places. None is what a record does not have."""
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            words = list(dict.fromkeys(values))
            place = {word: at for at, word in enumerate(words)}
            columns[name] = {"of": words, "at": [place[value] for value in values]}
        else:
            columns[name] = values
    return columns
