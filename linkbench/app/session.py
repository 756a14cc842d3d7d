"""What a visitor has brought: kept in one temporary folder, within limits, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from linkbench.errors import InputError
from linkbench.faces.photo import ENDINGS

if TYPE_CHECKING:
    from linkbench.app.work import Events
    from linkbench.faces.geometry import Face
    from linkbench.genomes.genotype_files.reader import Genotypes

PREFIX = "linkbench-app-"
"""Names of the folders begin so: what a killed process left is found by it."""


@dataclass(frozen=True)
class Limits:
    """Bytes of one photo and of one genotype file, of all files of all visitors; photos and visitors; seconds until a
    visitor who has gone without a word is forgotten."""

    photo: int = 100 << 20
    genotype: int = 256 << 20
    everything: int = 2 << 30
    photos: int = 64
    sessions: int = 32
    patience: float = 600.0


class TooMuchError(InputError):
    """More than the limits allow."""


@dataclass
class Upload:
    """A photo: the name it had, the file that holds it, its upright size in pixels and its faces, the largest first;
    pictures: PNG files of it, by what they show."""

    number: int
    name: str
    path: Path
    size: tuple[int, int] = (0, 0)
    faces: list[Face] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Session:
    """A visitor. secret: draws the decoys, the same in the preview and in what is written; page: what the photos give
    away, HTML; made: the record of each protected photo, by number."""

    key: str
    folder: Path
    events: Events
    secret: int = field(default_factory=lambda: secrets.randbits(48))
    photos: dict[int, Upload] = field(default_factory=dict)
    genotype: Genotypes | None = None
    page: str | None = None
    made: dict[int, dict[str, Any]] = field(default_factory=dict)
    count: int = 0
    seen: float = field(default_factory=time.monotonic)

    @property
    def out(self) -> Path:
        """Where protected photos are written."""
        return self.folder / "out"

    def place(self, name: str) -> Upload:
        """Where a photo of this name may be written; nothing of the name but its ending enters the path.

        Raises InputError for an ending that no photo has.
        """
        shown = plain_name(name)
        ending = Path(shown).suffix.lower()
        if ending not in ENDINGS:
            raise InputError(f"{shown}: names of photos end in {', '.join(ENDINGS)}")
        self.count += 1
        return Upload(self.count, shown, self.folder / f"{self.count}{ending}")

    def place_genotype(self, name: str) -> Upload:
        """Where a genotype file may be written: what it is called does not matter, readers look into it."""
        self.count += 1
        return Upload(self.count, plain_name(name), self.folder / f"{self.count}.genotype")

    def touch(self) -> None:
        """Somebody was heard of."""
        self.seen = time.monotonic()

    def keep(self, result: dict[str, Any]) -> None:
        """What a job made, as far as it is asked for later; a page of its own is not told to the page again."""
        self.page = result.pop("page", self.page)
        for each in result.get("made", ()):
            self.made.pop(each["photo"], None)
            if each["photo"] in self.photos and "failed" not in each["record"]:
                self.made[each["photo"]] = each["record"]

    def forget(self, number: int) -> None:
        """Remove a photo and what was made of it."""
        upload = self.photos.pop(number, None)
        self.made.pop(number, None)
        if upload is not None:
            upload.path.unlink(missing_ok=True)
            (self.out / upload.path.name).unlink(missing_ok=True)


def plain_name(name: str) -> str:
    """The last part of a path in any system's form, without what terminals, archives and systems take amiss."""
    last = re.split(r"[/\\]", name)[-1]
    kept = re.sub(r'[\x00-\x1f\x7f-\x9f<>:"|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]', "", last).strip(" .")
    stem, ending = os.path.splitext(kept)
    return (stem[:80] + ending[:10]) or "photo"


class Sessions:
    """All visitors, and the folder that their files lie in."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.open: dict[str, Session] = {}
        self.coming = 0

    def begin(self, events: Events) -> Session:
        """A new visitor. Raises TooMuchError where there are too many."""
        if len(self.open) >= self.limits.sessions:
            raise TooMuchError(f"{len(self.open)} pages are open; close one")
        key = secrets.token_urlsafe(16)
        folder = self.folder / key
        folder.mkdir(mode=0o700)
        self.open[key] = Session(key, folder, events)
        return self.open[key]

    def end(self, key: str) -> None:
        """Forget a visitor, and remove what was brought."""
        session = self.open.pop(key, None)
        if session is not None:
            shutil.rmtree(session.folder, ignore_errors=True)

    def gone(self) -> list[str]:
        """Visitors whom nobody has heard of for too long."""
        now = time.monotonic()
        return [
            key
            for key, session in self.open.items()
            if not session.events.listeners and now - session.seen > self.limits.patience
        ]

    async def receive(self, chunks: AsyncIterator[bytes], announced: str | None, path: Path, most: int) -> None:
        """Write an upload as it comes, at most so many bytes; nothing is left of one that fails.

        announced: its length as the sender says. Raises TooMuchError as soon as that or what has come is too much.
        """
        length = int(announced) if announced is not None and announced.isdecimal() else most
        if announced is not None and length > most:
            raise _too_large(most)
        kept = sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file())
        if kept + self.coming + length > self.limits.everything:
            raise TooMuchError("there is no more room for files; remove some, or close other pages")
        written = 0
        self.coming += length  # others who come meanwhile find no room there
        try:
            with path.open("xb") as file:
                async for chunk in chunks:
                    written += len(chunk)
                    if written > length:
                        raise _too_large(length)
                    file.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self.coming -= length


def _too_large(most: int) -> TooMuchError:
    return TooMuchError(f"the file is larger than {most / (1 << 20):.0f} MB; make it smaller")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder that only this user can enter, removed afterwards, as are those that killed processes left.

    A lock that the system lets go of with the process tells them from folders in use; without such locks (Windows)
    they stay.
    """
    sweep(Path(tempfile.gettempdir()))
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = (folder / "lock").open("wb")
        _locked(lock, wait=True)
        if folder.exists():
            break
        lock.close()  # another start swept the folder before it was locked
    try:
        yield folder
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(where: Path) -> None:
    """Remove the folders of processes that are no more."""
    for folder in where.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("r+b") as lock:
            if _locked(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _locked(file: IO[bytes], *, wait: bool = False) -> bool:
    """Whether the file could be locked; it is then, until it is closed. wait: until whoever has locked it lets go."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
