"""What a scenario may ask for; apart, so that the command line can say it without reading scenarios."""

MOST_CELLS = 100_000
"""Cells of a scenario, unless its user asks for more: a grid grows faster than one thinks."""
