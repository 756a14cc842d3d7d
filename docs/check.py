"""Checks of the documentation: python docs/check.py

Links lead somewhere, every hook has its heading with its exact signature, every built-in plugin has its paragraph in
methods.md, and the generated pages are what the code would write now. That the examples work is checked by
tests/test_docs.py.
"""

from __future__ import annotations

import re
import sys

from figures import drifted
from generate import DOCS, pages

from linkbench.registry.registry import registry

ROOT = DOCS.parent
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("CONTRIBUTING.md")),
    *sorted(DOCS.glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "plugins").glob("*/*.md")),
    ROOT / "leaderboard" / "README.md",
]


def anchors(text: str) -> set[str]:
    """The names under which the headings of a page can be linked to, as GitHub forms them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.*)", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links() -> list[str]:
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
                wrong.append(f"{page.name}: the link {target} leads nowhere")
    return wrong


def hooks() -> list[str]:
    from linkbench.api.kinds import KINDS

    text = (DOCS / "plugins.md").read_text()
    headings = [f"### `{kind.hook}(register)`" for kind in KINDS.values()]
    return [f"plugins.md: no heading {heading}" for heading in headings if heading not in text]


def methods() -> list[str]:
    """Every built-in plugin has its paragraph."""
    text = (DOCS / "methods.md").read_text()
    return [
        f"methods.md: nothing about the {kind} `{name}`; add a paragraph that begins with **`{name}`** and its source"
        for kind, plugins in registry().plugins.items()
        for name, found in plugins.items()
        if found.distribution == "linkbench" and kind != "executor" and f"**`{name}`**" not in text
    ] + [
        f"execution.md: nothing about the executor `{name}`; add a section with the heading `{name}`"
        for name, found in registry().plugins["executor"].items()
        if found.distribution == "linkbench" and f"## `{name}`" not in (DOCS / "execution.md").read_text()
    ]


def stale() -> list[str]:
    return [
        f"{page.name} is stale; run python docs/generate.py"
        for page, text in pages().items()
        if not page.exists() or page.read_text() != text
    ]


def main() -> None:
    wrong = links() + hooks() + methods() + stale() + drifted()
    for line in wrong:
        print(line)
    print(f"documentation: {len(PAGES)} pages, {len(wrong)} problems")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
