"""What all pages of linkbench have in common: one file, styles and script inside, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from markupsafe import Markup

from linkbench.report.drawings import Drawings

PARTS = ("head.html", "flags.html", "drawing.html")
"""Pieces that pages share."""

VEGA = ("vega/vega.min.js", "vega/vega-lite.min.js", "vega/vega-embed.min.js")
"""What draws figures, as its authors built it; see vega/LICENSES.txt."""


def source(name: str, package: str = "linkbench.report") -> str:
    """A file that lies beside the modules of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def render(package: str, css: str, drawings: Drawings | None = None, **values: Any) -> str:
    """The page of a package: its page.html with these values and styles, and its page.js, the only script allowed.

    drawings: of its figures, which bring the script that draws them. A package need not have a page.js.
    """
    own = source("page.js", package) if resources.files(package).joinpath("page.js").is_file() else ""
    return fill(source("page.html", package), css, own, drawings, **values)


def fill(template: str, css: str, script: str = "", drawings: Drawings | None = None, **values: Any) -> str:
    """A page from its template, which may include PARTS; head.html wants its `title`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.DictLoader({name: source(name) for name in PARTS}),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    drawn = drawings is not None and drawings.found
    if drawn:
        script = "\n".join([*(source(name) for name in VEGA), source("drawing.js"), script])
    return environment.from_string(template).render(
        css=Markup(css),
        script=Markup(script),
        script_digest=digest(script),
        drawn=Markup(embedded(drawings.to_json())) if drawings is not None and drawn else None,
        **values,
    )


def figure(spec: dict[str, Any]) -> str:
    """A page with one figure, given as a whole specification of Vega-Lite."""
    import jinja2

    script = "\n".join([*(source(name) for name in VEGA), source("figure.js")])
    page: str = jinja2.Template(source("figure.html"), autoescape=True, trim_blocks=True).render(
        title=str(spec["description"]).partition(".")[0],
        script=Markup(script),
        script_digest=digest(script),
        spec=Markup(embedded(spec)),
    )
    return page


def digest(script: str) -> str:
    """By which a page's policy names the only script that it may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def embedded(value: Any) -> str:
    """JSON that stays inside its script element, whatever names it holds."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
