"""What a store stands on: bytes by name, in a folder or in a bucket. Names look like `objects/ab/abcd.safetensors`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from linkbench.errors import StoreError


class Info(NamedTuple):
    """One blob: its name, its bytes, and when it was last written or touched, Unix time by the clock of the store."""

    name: str
    size: int
    modified: float


class Local(NamedTuple):
    """The file that holds a blob on this machine, and whether its bytes have only now come here."""

    path: Path
    new: bool


class Blobs(Protocol):
    """Bytes by name. Each write is whole or not at all, and nobody ever waits for anybody.

    A name that is not there is a FileNotFoundError where nothing else is said. A folder raises the OSError of the
    system; a bucket that refuses, or that cannot be reached after a few attempts, raises StoreError.
    """

    address: str
    """What opens the same blobs again, in any process."""

    def get(self, name: str) -> bytes | None:
        """The content of a small blob, or None."""

    def get_many(self, names: list[str]) -> dict[str, bytes]:
        """The contents of small blobs; without those that are not there."""

    def info(self, name: str) -> Info | None:
        """Its size and time, or None."""

    def listing(self, folder: str) -> list[Info]:
        """All blobs whose names begin with this folder, by name."""

    def fetch(self, name: str, fresh: bool = False) -> Local:
        """A blob as a file of this machine; `fresh` mistrusts a copy that is already here."""

    def temporary(self, suffix: str) -> AbstractContextManager[Path]:
        """An empty file to be filled for `put`; removed if it is still there at the end."""

    def put(self, name: str, file: Path) -> None:
        """Make a file of `temporary` this blob, in the place of an earlier one; it is on the disk when this returns."""

    def create(self, name: str, content: bytes) -> bool:
        """A small blob, unless there is one of this name already: whether it was made."""

    def touch(self, name: str) -> None:
        """Make a small blob as young as one just written."""

    def move(self, name: str, to: str) -> None:
        """Give a blob another name."""

    def delete(self, name: str) -> None:
        """Remove a blob; one that is not there is no error."""

    def unfinished(self) -> list[Path]:
        """Files that writers on this machine have not finished, or left when they were killed."""

    def copies(self) -> list[Path]:
        """Files of this machine that are copies of blobs; whoever needs one that is gone fetches it again."""

    def now(self) -> float:
        """Unix time by the clock that gives blobs their times; it costs a write."""

    def cannot_write(self, error: OSError) -> StoreError:
        """What the user is told when this machine cannot write."""
