"""Photo files protected into a folder, each checked as it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from linkbench.errors import InputError
from linkbench.faces import read, write
from linkbench.faces.geometry import Face
from linkbench.faces.photo import Photo
from linkbench.protection.album import Outcome, digest_of, faces_in, work_off
from linkbench.protection.background import Background
from linkbench.protection.judge import PILE, Judge, Verdict, reading
from linkbench.protection.postings import Posting, postings
from linkbench.protection.strength import (
    Attempt,
    Changed,
    Checked,
    Target,
    apply,
    check,
    look,
    measure,
    meets,
    smallest,
)

COMMAND = "protect"
"""Whose manifest lies beside the results."""

Which = Literal["all", "largest"]
"""Whose faces are protected in photos of several people."""


class Wish(NamedTuple):
    """What is wanted of every photo. secret: draws the decoys; the same for photos of the same people."""

    target: Target
    which: Which
    platform: str | None
    keep_metadata: bool
    secret: int


Tell = Callable[[str], None]
"""Told what is done next, before it is; what it raises ends the work."""


def _nobody(what: str) -> None:
    """Nobody wants to know."""


def protect_files(
    sources: Sequence[Path], out: Path, background: Background, judge: Judge, wish: Wish, tell: Tell = _nobody
) -> Iterator[Outcome]:
    """Protect files into a folder, as `work_off` does. Raises InputError where the folder cannot be written."""
    settings = {
        **{name: value for name, value in wish.target._asdict().items() if value is not None},
        "faces": wish.which, "for": wish.platform, "keep_metadata": wish.keep_metadata,
    }  # fmt: skip
    return work_off(
        sources, out, COMMAND, wish.secret, settings,
        lambda source, result: protect_file(source, result, background, judge, wish, tell),
    )  # fmt: skip


class Subject:
    """A photo and its faces, and what is read from them before they are changed.

    chosen: postings in which they are looked at. Raises InputError for a photo without a face.
    """

    def __init__(
        self, photo: Photo, background: Background, judge: Judge, chosen: Sequence[Posting], which: Which = "all"
    ) -> None:
        self.photo, self.background, self.judge, self.chosen = photo, background, judge, chosen
        self.faces = faces_in(photo)[: 1 if which == "largest" else None]
        self.squares = [face.square for face in self.faces]
        looked = look(photo, self.squares, background, chosen)
        self.own = [judge.own(each) for each in looked]
        self.before = [check(judge, *each, None) for each in zip(looked, self.own, strict=True)]

    def with_change(self, epsilon: float, secret: int) -> Photo:
        """The photo protected."""
        defence = self.background.defence(epsilon, secret, len(self.squares))
        return apply(self.photo, self.squares, defence, self.background.size)

    def checked(self, photo: Photo, epsilon: float) -> list[Checked]:
        """What attackers make of another version of the photo; epsilon: what they were taught."""
        looked = look(photo, self.squares, self.background, self.chosen)
        return [check(self.judge, *each, epsilon) for each in zip(looked, self.own, strict=True)]

    def changed(self, photo: Photo) -> list[Changed]:
        """What each face of another version lost."""
        return [measure(self.photo, photo, square) for square in self.squares]

    def described(self, changed: Sequence[Changed], after: Sequence[Checked]) -> list[dict[str, Any]]:
        """Each face before and after, as JSON can hold it."""
        return [
            describe(*each, self.chosen, self.judge)
            for each in zip(self.faces, changed, self.before, after, strict=True)
        ]


def protect_file(
    source: Path, out: Path, background: Background, judge: Judge, wish: Wish, tell: Tell = _nobody
) -> dict[str, Any]:
    """Protect the faces of one photo, write it, and check what was written: what the manifest says of it.

    Raises InputError where the file cannot be read or shows no face.
    """
    tell("looked at")
    subject = Subject(read(source), background, judge, postings(wish.platform), wish.which)

    def attempt(epsilon: float) -> Attempt:
        tell(f"changed by at most {255 * epsilon:.3g}/255")
        made = subject.with_change(epsilon, wish.secret)
        asked = wish.target.risk is not None or wish.target.rank is not None
        checked = subject.checked(made, epsilon) if asked else []
        return Attempt(epsilon, made, meets(wish.target, checked, subject.changed(made)))

    strengths = background.strengths() if wish.target.epsilon is None else [wish.target.epsilon]
    best = smallest(strengths, attempt, largest=wish.target.delta_e is not None)
    tell("written")
    write(best.photo, out, keep_metadata=wish.keep_metadata)
    tell("checked as it was written")
    written = read(out)
    after, changed = subject.checked(written, best.epsilon), subject.changed(written)
    return {
        "written": digest_of(out),
        "epsilon": best.epsilon,
        "attackers_taught_at": background.taught_at(best.epsilon),
        "met": meets(wish.target, after, changed),
        "lost": list(subject.photo.lost),
        "faces": subject.described(changed, after),
    }


def compare(
    original: Path, protected: Path, background: Background, judge: Judge, platform: str | None
) -> dict[str, Any]:
    """The check of `protect_file` for two files that are there. Raises InputError where they do not show one scene."""
    photo, other = read(original), read(protected)
    if photo.size != other.size:
        raise InputError(
            f"{original} has {photo.size[0]}x{photo.size[1]} pixels, {protected} {other.size[0]}x{other.size[1]}; "
            f"give a photo and the same photo protected"
        )
    if photo.pixels.dtype != other.pixels.dtype or photo.colours != other.colours:
        raise InputError(f"{original} and {protected} differ in depth or colours; give a photo and the same protected")
    subject = Subject(photo, background, judge, postings(platform))
    changed = subject.changed(other)
    # who ran the tool himself learns from the strength that explains the change
    largest = max(each.linf for each in changed)
    epsilon = background.taught_at(min(largest, background.strengths()[-1]))
    return {"epsilon": epsilon, "faces": subject.described(changed, subject.checked(other, epsilon))}


def describe(
    face: Face, changed: Changed, before: Checked, after: Checked, chosen: Sequence[Posting], judge: Judge
) -> dict[str, Any]:
    """One face before and after, as JSON can hold it."""
    names = ["file", *(posting.name for posting in chosen)]

    def verdicts(each: Sequence[Verdict]) -> dict[str, dict[str, float]]:
        return {
            name: {"rank": round(of.rank, 1), "success": round(of.success, 5)}
            for name, of in zip(names, each, strict=True)
        }

    schema = judge.background.people.schema

    def side(checked: Checked, name: str) -> dict[str, Any]:
        return {"reads": reading(checked.looked[name][0], schema), **verdicts(checked.verdicts[name])}

    return {
        "place": {"x": round(face.x), "y": round(face.y), "side": round(face.side), "detectors": face.votes},
        "changed": {name: round(value, 5) for name, value in changed._asdict().items()},
        "pile": PILE,
        "success": {"k": judge.k, "size": judge.size},
        "opponents": [
            {
                "predictor": opponent.name,
                "seen_by_the_defence": opponent.seen,
                "before": side(before, opponent.name),
                "after": side(after, opponent.name),
            }
            for opponent in judge.background.opponents
        ],
    }
