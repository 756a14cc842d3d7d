"""What is told of a step that is being computed: by whom, how far it is and how long it will take."""

from __future__ import annotations

import time


class Running:
    """A step at work. What it counts may begin anew, with other photos, say; the time left is that of the count."""

    def __init__(self, label: str, worker: str = "") -> None:
        self.label, self.worker = label, worker
        self.counting = time.monotonic()
        self.done, self.total, self.at = 0, 0, ""
        self.base = 0  # of the count, when this began to watch it

    def hear(self, done: int, total: int, at: str = "") -> None:
        """`done` of `total` pieces are finished; total 0: nobody knows of how many; at: where that is, in words."""
        if self.total and (done < self.done or total != self.total):
            self.counting, self.base = time.monotonic(), done
        self.done, self.total, self.at = done, total, at

    def left(self) -> float | None:
        """Seconds until the count is full, at the speed so far; None where that cannot be said."""
        if not self.base < self.done <= self.total:
            return None
        return (time.monotonic() - self.counting) * (self.total - self.done) / (self.done - self.base)

    def how_far(self) -> str:
        """`epoch 3/20, 4 min left`, `35 %`; empty before anything was heard."""
        if self.total <= 0:
            return ""
        count = self.at or f"{100 * self.done // self.total} %"
        left = self.left()
        return count if left is None else f"{count}, {duration(left)} left"

    def text(self) -> str:
        """All of it in one line."""
        name = f"{self.worker}: {self.label}" if self.worker else self.label
        return f"{name} ({far})" if (far := self.how_far()) else name


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
