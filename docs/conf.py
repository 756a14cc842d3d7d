"""The site: `make site` builds it from README.md and docs/, with search that works without a server or a network.

The pages stay plain Markdown that reads well on its own; navigation is here, not in them.
"""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAVIGATION = {
    "Use": [
        "docs/get-started",
        "docs/scenario",
        "docs/genotypes",
        "docs/predictors",
        "docs/your-photo",
        "docs/identification",
        "docs/reference",
        "docs/cli",
        "docs/execution",
        "docs/scale",
        "docs/store",
        "docs/api",
        "docs/leaderboard",
        "leaderboard/README",
        "docs/responsible-use",
    ],
    "Extend": [
        "docs/plugins",
        "CONTRIBUTING",
        "CHANGELOG",
        "plugins/linkbench-art/README",
        "plugins/linkbench-torchattacks/README",
        "docs/decisions",
    ],
    "Understand": [
        "docs/methods",
        "docs/mathematics",
        "docs/theorem1",
        "docs/adaptive-attackers",
        "docs/reproduction",
        "benchmarks/RESULTS",
        "linkbench/genomes/data/SOURCES",
    ],
}
"""The sidebar; pages of docs/ that are not named come at its end."""
NAVIGATION["More"] = [
    page
    for page in (f"docs/{file.stem}" for file in sorted((ROOT / "docs").glob("*.md")))
    if not any(page in pages for pages in NAVIGATION.values())
]

project = "linkbench"
release = runpy.run_path(str(ROOT / "linkbench" / "version.py"))["__version__"]
html_title = f"linkbench {release}"
copyright = "the linkbench authors, Apache-2.0"

# the sources are the repository itself, so that links in the pages lead where they lead without a site
root_doc = "README"
include_patterns = ["README.md", *(f"{page}.md" for pages in NAVIGATION.values() for page in pages)]
exclude_patterns = [".*", "build", "results"]
extensions = ["myst_parser"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_use_index = False
pygments_style = "friendly"
pygments_dark_style = "native"


def _navigate(app: Any, page: str, source: list[str]) -> None:
    if page == root_doc:
        for title, pages in ((title, pages) for title, pages in NAVIGATION.items() if pages):
            listed = "\n".join(f"/{each}" for each in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{listed}\n```\n"


def _front_page(app: Any, error: Exception | None) -> None:
    if error is None:
        out = Path(app.outdir)
        shutil.copyfile(out / "README.html", out / "index.html")


def setup(app: Any) -> None:
    app.connect("source-read", _navigate)
    app.connect("build-finished", _front_page)
