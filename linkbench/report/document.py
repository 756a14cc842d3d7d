"""What all pages of linkbench have in common: one file, styles and script inside, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from linkbench.report.svg import Markup


def source(name: str, package: str = "linkbench.report") -> str:
    """A file that lies beside the modules of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


PARTS = ("head.html", "flags.html")
"""Pieces that pages share."""


def render(package: str, css: str, **values: Any) -> str:
    """The page of a package: its page.html with these values and styles, and its page.js, the only script allowed.

    A package without page.js has a page without script.
    """
    script = source("page.js", package) if resources.files(package).joinpath("page.js").is_file() else ""
    return fill(source("page.html", package), css, script, **values)


def fill(template: str, css: str, script: str = "", **values: Any) -> str:
    """A page from its template, which may include PARTS; head.html wants its `title`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.DictLoader({name: source(name) for name in PARTS}),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.from_string(template).render(
        css=Markup(css),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )
