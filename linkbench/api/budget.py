"""How far a defender may change a photo: what it states, and what the harness keeps, measures and reports."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

Norm = Literal["none", "linf", "l2", "rms", "ssim"]
"""How a change is measured: not at all; the largest change of a pixel's colour; the Euclidean length over all pixels
and colours; that length divided by the square root of their number; structural similarity (Wang et al. 2004)."""


class Budget(NamedTuple):
    """A bound on what happens to each photo, in [0, 1] pixel units.

    radius: the largest change in the norm; for `ssim` the least similarity to the photo, in [0, 1]; None for `none`.
    ceiling: besides, the largest change of any pixel, for norms other than `linf`.
    """

    norm: Norm = "none"
    radius: float | None = None
    ceiling: float | None = None

    @property
    def moves(self) -> bool | None:
        """Whether anything may change at all; None where there is no bound."""
        if self.ceiling == 0:
            return False
        if self.radius is None:
            return None if self.ceiling is None else True
        return self.radius < 1 if self.norm == "ssim" else self.radius > 0

    @property
    def pixel(self) -> float | None:
        """The bound on every single pixel, None where pixels are not bounded one by one."""
        return self.radius if self.norm == "linf" else self.ceiling

    def rms(self, numbers: int) -> float | None:
        """The largest root mean square change of a photo with that many numbers, None where nothing bounds it."""
        bounds = [] if self.ceiling is None else [self.ceiling]
        if self.radius is not None and self.norm != "ssim":
            bounds.append(self.radius / math.sqrt(numbers) if self.norm == "l2" else self.radius)
        return min(bounds, default=None)

    def problem(self) -> str:
        """What is wrong with the budget, in words; empty if nothing is."""
        if self.norm not in get_args(Norm):
            return f"norm {self.norm!r} is none of {', '.join(get_args(Norm))}"
        if (self.radius is None) != (self.norm == "none"):
            return f"norm {self.norm} {'has no radius' if self.norm == 'none' else 'needs a radius'}"
        for name, value in (("radius", self.radius), ("ceiling", self.ceiling)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                return f"{name} {value} is no finite number of 0 or more"
        if self.norm == "ssim" and not 0 <= (self.radius or 0) <= 1:
            return f"a least similarity lies between 0 and 1, found {self.radius}"
        if self.norm == "linf" and self.ceiling is not None:
            return "a ceiling besides norm linf says the same twice; leave it out"
        return ""

    def to_json(self) -> dict[str, Any]:
        """{"norm", "radius", "ceiling"}, as run.json holds it."""
        return self._asdict()
