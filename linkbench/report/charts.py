"""A figure by itself: in a notebook, as a file, as a specification of Vega-Lite."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.errors import InputError, MissingExtraError
from linkbench.report import document
from linkbench.report.figures.base import Defaults, Section, options_of, whole
from linkbench.report.figures.theme import darkened
from linkbench.results.folder import replacing

SCALE = 2.0
"""Pixels of a PNG for each of the drawing."""


class Chart(NamedTuple):
    """A figure of a run; first: where its switches stand."""

    section: Section
    first: Defaults

    @property
    def name(self) -> str:
        """By which it was asked for."""
        return self.section.id

    @property
    def heading(self) -> str:
        """What it shows, in a few words."""
        return self.section.heading

    @property
    def switches(self) -> dict[str, list[Any]]:
        """What can be chosen in it: channel, k, n or what is its own (`by`), each with its values."""
        return options_of(self.section)

    def at(self, **switches: Any) -> Chart:
        """The figure with some switches elsewhere. Raises InputError for a switch or value that it does not have."""
        known = self.switches
        for name, value in switches.items():
            if name not in known:
                raise InputError(f"the figure {self.name} has no switch {name!r}; it has: {', '.join(known) or 'none'}")
            if value not in known[name]:
                listed = ", ".join(map(str, known[name]))
                raise InputError(f"the figure {self.name} was not measured at {name} {value}; it was at: {listed}")
        return self._replace(first=self.first._replace(**switches))

    def to_dict(self, *, dark: bool = False) -> dict[str, Any]:
        """The specification, Vega-Lite 6, with all data in it."""
        spec = whole(self.section, self.first)
        found: dict[str, Any] = darkened(spec) if dark else spec
        return found

    def save(self, path: Path | str, *, dark: bool = False) -> None:
        """Write it as .json, .html (with its switches, without network), .svg, .png or .pdf.

        Raises InputError for another ending, MissingExtraError where vl-convert is not there for the last three.
        """
        path = Path(path)
        if path.suffix not in WRITERS:
            raise InputError(f"{path}: a figure is written as {', '.join(WRITERS)}, by the ending of the file's name")
        data = WRITERS[path.suffix](self.to_dict(dark=dark))
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """For notebooks: those that know Vega-Lite draw it, others show what it is."""
        spec = self.to_dict()
        return {
            "application/vnd.vegalite.v6+json": spec,
            "application/vnd.vegalite.v5+json": spec,
            "text/plain": f"<figure {self.name}: {self.heading}>",
        }


def _json(spec: dict[str, Any]) -> bytes:
    return json.dumps(spec, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _html(spec: dict[str, Any]) -> bytes:
    return document.figure(spec).encode()


def _converted(kind: str) -> Callable[[dict[str, Any]], bytes]:
    """By vl-convert, which needs neither a browser nor the network."""

    def convert(spec: dict[str, Any]) -> bytes:
        if importlib.util.find_spec("vl_convert") is None:
            raise MissingExtraError("Saving figures as SVG, PNG and PDF", "vl-convert-python", "figures")
        import vl_convert

        if kind == "svg":
            return vl_convert.vegalite_to_svg(spec, vl_version="6.4").encode()
        if kind == "pdf":
            return bytes(vl_convert.vegalite_to_pdf(spec, vl_version="6.4"))
        return bytes(vl_convert.vegalite_to_png(spec, vl_version="6.4", scale=SCALE))

    return convert


WRITERS = {
    ".json": _json,
    ".html": _html,
    **{f".{kind}": _converted(kind) for kind in ("svg", "png", "pdf")},
}
"""How a figure becomes a file, by the ending of its name."""
