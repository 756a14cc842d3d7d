"""What the page has done: the functions of `linkbench risk` and `linkbench protect`, for a visitor's files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from linkbench.app import pictures
from linkbench.app.session import Session, Upload
from linkbench.errors import InputError, LinkbenchError
from linkbench.faces import find, read
from linkbench.protection import files, text
from linkbench.protection.judge import Judge, judge_of
from linkbench.protection.strength import Target
from linkbench.risk.assess import assess
from linkbench.risk.page import render
from linkbench.risk.person import Ancestry

if TYPE_CHECKING:
    from linkbench.app.work import Job
    from linkbench.protection.background import Background

ARCHIVE = "linkbench-protected.zip"
REPORT = "what-was-done.txt"


class Wanted(BaseModel):
    """A job as the page asks for it. strength: the number of an epsilon that attackers learned about, 0 the weakest."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["risk", "preview", "protect"]
    photo: int | None = None
    strength: int = Field(default=0, ge=0)
    phenotypes: dict[str, str] = Field(default_factory=dict, max_length=16)
    ancestry: Ancestry = "ALL"


class Desk:
    """What all jobs share. background: networks and attackers; people: genomes in the piles of risk and of judges."""

    def __init__(self, background: Background, people: tuple[int, int]) -> None:
        self.background = background
        self.risk_people, self.judge_people = people
        self.strengths = background.strengths()

    def do(self, wanted: Wanted, session: Session, job: Job) -> dict[str, Any]:
        """Carry out a job. Raises InputError with the names that files had, and UnwantedError."""
        try:
            kinds = {"risk": self.risk, "preview": self.preview, "protect": self.protect}
            return kinds[wanted.kind](wanted, session, job)
        except LinkbenchError as error:
            raise InputError(named(str(error), [*session.photos.values()])) from None

    def risk(self, wanted: Wanted, session: Session, job: Job) -> dict[str, Any]:
        """What the photos give away together, as the page of `linkbench risk`."""
        shown = [upload for upload in session.photos.values() if upload.faces]
        if not shown:
            raise InputError("there is no photo with a face yet")
        job.reached(0.1, "networks look at the photos")
        found = assess(
            [upload.path for upload in shown], genotype=session.genotype, phenotypes=wanted.phenotypes,
            ancestry=wanted.ancestry, people=self.risk_people,
        )  # fmt: skip
        job.reached(0.9, "the page is drawn")
        return {"page": render(found._replace(photos=[Path(upload.name) for upload in shown]))}

    def preview(self, wanted: Wanted, session: Session, job: Job) -> dict[str, Any]:
        """One photo changed, but not written: its largest face in pictures, and what attackers make of all faces."""
        upload = session.photos.get(wanted.photo or 0)
        if upload is None:
            raise InputError("the photo is not there any more")
        epsilon = self._epsilon(wanted)
        job.reached(0.1, "looked at")
        subject = files.Subject(read(upload.path), self.background, self._judge(wanted, session), [])
        job.reached(0.4, f"changed by at most {255 * epsilon:.3g}/255")
        made = subject.with_change(epsilon, session.secret)
        job.reached(0.8, "checked")
        first = subject.squares[0]
        upload.pictures |= {
            "before": pictures.close(subject.photo, first),
            "after": pictures.close(made, first),
            "difference": pictures.difference(subject.photo, made, first),
        }
        faces = subject.described(subject.changed(made), subject.checked(made, epsilon))
        return {"photo": upload.number, "epsilon": epsilon, "faces": faces}

    def protect(self, wanted: Wanted, session: Session, job: Job) -> dict[str, Any]:
        """All photos with a face, written and checked again."""
        uploads = {upload.path: upload for upload in session.photos.values() if upload.faces}
        if not uploads:
            raise InputError("there is no photo with a face yet")
        wish = files.Wish(Target(epsilon=self._epsilon(wanted)), "all", None, False, session.secret)
        done: list[dict[str, Any]] = []

        def tell(what: str) -> None:
            upload = [*uploads.values()][min(len(done), len(uploads) - 1)]
            job.reached(len(done) / len(uploads), f"photo {len(done) + 1} of {len(uploads)}, {upload.name}: {what}")

        judge = self._judge(wanted, session)
        try:
            for outcome in files.protect_files([*uploads], session.out, self.background, judge, wish, tell):
                upload = uploads[outcome.source]
                record = outcome.record or {"failed": named(outcome.failed, [upload])}
                done.append({"photo": upload.number, "name": upload.name, "record": record})
        finally:
            for upload in uploads.values():
                if upload.number not in session.photos:  # removed while it was worked on
                    (session.out / upload.path.name).unlink(missing_ok=True)
        return {"made": done}

    def _epsilon(self, wanted: Wanted) -> float:
        if wanted.strength >= len(self.strengths):
            raise InputError(f"there are {len(self.strengths)} strengths")
        return self.strengths[wanted.strength]

    def _judge(self, wanted: Wanted, session: Session) -> Judge:
        return judge_of(
            self.background, genotype=session.genotype, phenotypes=wanted.phenotypes, ancestry=wanted.ancestry,
            people=self.judge_people,
        )  # fmt: skip


def look_at(upload: Upload) -> dict[str, Any]:
    """Open an upload and find its faces: what the page shows of it. Raises InputError with the name that it had."""
    try:
        photo = read(upload.path)
        upload.size, upload.faces = photo.size, find(photo)
    except LinkbenchError as error:
        raise InputError(named(str(error), [upload])) from None
    upload.pictures["whole"] = pictures.whole(photo, upload.faces)
    width, height = upload.size
    return {
        "photo": upload.number, "name": upload.name, "width": width, "height": height, "faces": len(upload.faces),
        "lost": list(photo.lost),
    }  # fmt: skip


def archive(session: Session) -> Path:
    """A zip file of the protected photos under the names that they had, and of what was done to each."""
    path = session.folder / ARCHIVE
    with zipfile.ZipFile(path, "w") as file:
        said: list[str] = []
        for name, upload, record in _named_once(session):
            file.write(session.out / upload.path.name, name)
            said += [name, *text.of_photo(record), ""]
        file.writestr(REPORT, "\n".join([*said, text.CAREFUL]))
    return path


def _named_once(session: Session) -> Iterator[tuple[str, Upload, dict[str, Any]]]:
    """The protected photos, each with a name of its own in the archive."""
    taken = {REPORT}
    for number, record in session.made.items():
        upload = session.photos[number]
        name = upload.name
        while name.casefold() in taken:
            name = f"{Path(name).stem} ({number}){Path(name).suffix}"
        taken.add(name.casefold())
        yield name, upload, record


def named(message: str, uploads: list[Upload]) -> str:
    """A message with the names that files had, instead of where they lie now."""
    for upload in uploads:
        message = message.replace(str(upload.path), upload.name)
    return message
