"""Text of others, fit to be shown: plugins, files and libraries may say anything, at any length."""

from __future__ import annotations

LONGEST = 2_000
"""Letters that are shown of what foreign code says."""


def shown(text: object, longest: int = LONGEST) -> str:
    """A text with nothing in it that steers a terminal or turns the direction of writing, cut where it is long."""
    words = str(text)
    if len(words) > longest:
        words = f"{words[:longest]}... ({len(words):,} letters)"
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in words)
