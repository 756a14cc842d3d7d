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


def render(package: str, css: str, **values: Any) -> str:
    """The page of a package: its page.html with these values and styles, and its page.js, the only script allowed.

    A package without page.js has a page without script.
    """
    import jinja2

    script = source("page.js", package) if resources.files(package).joinpath("page.js").is_file() else ""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"flags.html": source("flags.html")}),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.from_string(source("page.html", package)).render(
        css=Markup(css),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )
