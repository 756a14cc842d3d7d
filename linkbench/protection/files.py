"""Photo files protected one after the other into a folder, with a manifest from which an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from linkbench.errors import InputError, LinkbenchError
from linkbench.faces import find, read, write
from linkbench.faces.geometry import Face
from linkbench.faces.photo import ENDINGS, Photo
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
from linkbench.results.folder import replacing

MANIFEST = "linkbench-protect.json"

Which = Literal["all", "largest"]
"""Whose faces are protected in photos of several people."""


class Wish(NamedTuple):
    """What is wanted of every photo. secret: draws the decoys; the same for photos of the same people."""

    target: Target
    which: Which
    platform: str | None
    keep_metadata: bool
    secret: int


class Outcome(NamedTuple):
    """What was done to one photo, as the manifest holds it; failed: why nothing was."""

    source: Path
    record: dict[str, Any] | None
    failed: str = ""
    skipped: bool = False


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """The photo files of a list of files and folders, folders not entered further. Raises InputError for none."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(each for each in path.iterdir() if each.suffix.lower() in ENDINGS and each.is_file())
        else:
            out.append(path)
    if not out:
        raise InputError(f"there are no photos in {', '.join(map(str, paths))}; names must end in {', '.join(ENDINGS)}")
    return out


def check_places(sources: Sequence[Path], out: Path) -> None:
    """Refuse what would overwrite a photo: an original, or another's result. Raises InputError."""
    names: dict[str, Path] = {}
    for source in sources:
        if (out / source.name).resolve() == source.resolve():
            raise InputError(f"{source} lies in the folder to write to; choose another with --out, originals stay")
        other = names.setdefault(source.name.casefold(), source)
        if other != source:
            raise InputError(f"{other} and {source} have the same name; protect them into different folders")


def secret_of(out: Path, given: int | None) -> int:
    """The secret of the folder's manifest, so that photos added later match; else the one given, else a new one.

    Raises InputError where both are there and differ.
    """
    known = _read(out / MANIFEST).get("secret")
    if known is not None and given is not None and known != given:
        raise InputError(f"{out / MANIFEST} was made with another secret; leave --secret out, or choose another folder")
    if known is not None:
        return int(known)
    return secrets.randbits(48) if given is None else given


def protect_files(
    sources: Sequence[Path], out: Path, background: Background, judge: Judge, wish: Wish
) -> Iterator[Outcome]:
    """Protect files into a folder, each as soon as it is asked for; what the manifest says is done is left alone.

    A file that fails takes only itself. Files and manifest are replaced as a whole. Raises InputError where the folder
    cannot be written.
    """
    manifest = {"linkbench_protect": 1, "secret": wish.secret, "photos": {}, **_read(out / MANIFEST)}
    settings = {
        **{name: value for name, value in wish.target._asdict().items() if value is not None},
        "faces": wish.which, "for": wish.platform, "keep_metadata": wish.keep_metadata,
    }  # fmt: skip
    for source in sources:
        try:
            digest = _digest(source)
            done = manifest["photos"].get(source.name)
            if done and done["source"] == digest and done["settings"] == settings and _stands(out / source.name, done):
                yield Outcome(source, done, skipped=True)
                continue
            record = protect_file(source, out / source.name, background, judge, wish)
        except LinkbenchError as error:
            yield Outcome(source, None, str(error))
            continue
        record = {"source": digest, "settings": settings, **record}
        manifest["photos"][source.name] = record
        with replacing(out / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        yield Outcome(source, record)


def protect_file(source: Path, out: Path, background: Background, judge: Judge, wish: Wish) -> dict[str, Any]:
    """Protect the faces of one photo, write it, and check what was written: what the manifest says of it.

    Raises InputError where the file cannot be read or shows no face.
    """
    photo = read(source)
    faces = _faces(photo, wish.which)
    squares, chosen = [face.square for face in faces], postings(wish.platform)
    looked = look(photo, squares, background, chosen)
    own = [judge.own(each) for each in looked]
    before = [check(judge, *each, None) for each in zip(looked, own, strict=True)]

    def judged(photo: Photo, epsilon: float) -> list[Checked]:
        return [
            check(judge, *each, epsilon)
            for each in zip(look(photo, squares, background, chosen), own, strict=True)
        ]  # fmt: skip

    def attempt(epsilon: float) -> Attempt:
        out = apply(photo, squares, background.defence(epsilon, wish.secret, len(squares)), background.size)
        changed = [measure(photo, out, square) for square in squares]
        asked = wish.target.risk is not None or wish.target.rank is not None
        return Attempt(epsilon, out, meets(wish.target, judged(out, epsilon) if asked else [], changed))

    strengths = background.strengths() if wish.target.epsilon is None else [wish.target.epsilon]
    best = smallest(strengths, attempt, largest=wish.target.delta_e is not None)
    write(best.photo, out, keep_metadata=wish.keep_metadata)
    written = read(out)
    after = judged(written, best.epsilon)
    changed = [measure(photo, written, square) for square in squares]
    return {
        "written": _digest(out),
        "epsilon": best.epsilon,
        "met": meets(wish.target, after, changed),
        "lost": list(photo.lost),
        "faces": [
            describe(*each, chosen, judge) for each in zip(faces, changed, before, after, strict=True)
        ],
    }  # fmt: skip


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
    faces, chosen = _faces(photo, "all"), postings(platform)
    squares = [face.square for face in faces]
    changed = [measure(photo, other, square) for square in squares]
    # who ran the tool himself learns from the strength that explains the change
    largest = max(each.linf for each in changed)
    epsilon = next((each for each in background.strengths() if each >= largest - 1 / 510), background.strengths()[-1])
    looked, again = look(photo, squares, background, chosen), look(other, squares, background, chosen)
    own = [judge.own(each) for each in looked]
    before = [check(judge, *each, None) for each in zip(looked, own, strict=True)]
    after = [check(judge, *each, epsilon) for each in zip(again, own, strict=True)]
    return {
        "epsilon": epsilon,
        "faces": [describe(*each, chosen, judge) for each in zip(faces, changed, before, after, strict=True)],
    }


def _faces(photo: Photo, which: Which) -> list[Face]:
    faces = find(photo)
    if not faces:
        raise InputError(f"photo {photo.path}: no face was found in it. Crop it around the face, or turn it upright")
    return faces[:1] if which == "largest" else faces


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


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"photo {path} cannot be read: {error.strerror or error}") from None


def _stands(path: Path, done: dict[str, Any]) -> bool:
    return path.is_file() and _digest(path) == done["written"]


def _read(path: Path) -> dict[str, Any]:
    """A manifest; nothing where there is none. Raises InputError for another file of that name."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        data = None
    if not isinstance(data, dict) or data.get("linkbench_protect") != 1 or not isinstance(data.get("photos"), dict):
        raise InputError(f"{path} is no manifest of linkbench protect; move it away, or choose another folder")
    return data
