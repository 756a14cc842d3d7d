"""What a figure of a run can do, for whoever asks `Results` for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Chart(Protocol):
    """A figure of the report. In a notebook it shows itself."""

    @property
    def name(self) -> str:
        """By which it was asked for."""

    @property
    def heading(self) -> str:
        """What it shows, in a few words."""

    @property
    def switches(self) -> dict[str, list[Any]]:
        """What can be chosen in it: channel, k, n or what is its own (`by`), each with its values."""

    def at(self, **switches: Any) -> Chart:
        """The figure with some switches elsewhere. Raises InputError for a switch or value that it does not have."""

    def to_dict(self, *, dark: bool = False) -> dict[str, Any]:
        """The specification, Vega-Lite 6, with all data in it."""

    def save(self, path: Path | str, *, dark: bool = False) -> None:
        """Write it as .json, .html, .svg, .png or .pdf; the last three want the extra `figures`. Raises InputError."""
