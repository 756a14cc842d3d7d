"""The scenarios that come with the toolkit: in a wheel inside the package, in a checkout beside it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

SENTENCE = re.compile(r"(?<!Fig)(?<!al)\.\s+(?=[A-Z])")
"""The end of a sentence, but for abbreviations."""

PACKAGE = Path(__file__).parent.parent


@functools.cache
def folder() -> Path | None:
    """Where they lie; None where they were left out."""
    places = (PACKAGE / "scenarios", PACKAGE.parent / "scenarios")
    return next((place for place in places if (place / "quickstart.yaml").is_file()), None)


def names() -> list[str]:
    """The names of all scenarios, in order."""
    home = folder()
    return [] if home is None else sorted(path.stem for path in home.glob("*.yaml"))


def find(name: str) -> Path | None:
    """The file of a scenario by its name; None for what is none of ours."""
    home = folder()
    return home / f"{name}.yaml" if home is not None and name in names() else None


def about(name: str) -> str:
    """What a scenario is for: the first sentence of the comment at its top."""
    path = find(name)
    lines = [] if path is None else path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return SENTENCE.split(" ".join(comment))[0].removesuffix(".")
