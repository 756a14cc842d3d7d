"""Photo files worked off one after the other into a folder, with a manifest from which an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from linkbench.errors import InputError, LinkbenchError
from linkbench.faces import find
from linkbench.faces.geometry import Face
from linkbench.faces.photo import ENDINGS, Photo
from linkbench.results.folder import replacing


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
            raise InputError(f"{other} and {source} have the same name; write them into different folders")


def secret_of(out: Path, given: int | None, command: str) -> int:
    """The secret of the folder's manifest, so that photos added later match; else the one given, else a new one.

    command: whose manifest. Raises InputError where both are there and differ, and where another command wrote here.
    """
    for other in out.glob(manifest_name("*")):
        if other.name != manifest_name(command):
            raise InputError(f"{out} holds what another command wrote, see {other.name}; choose another with --out")
    known = _read(out, command).get("secret")
    if known is not None and given is not None and known != given:
        raise InputError(
            f"{out / manifest_name(command)} was made with another secret; leave --secret out, or choose another folder"
        )
    if known is not None:
        return int(known)
    return secrets.randbits(48) if given is None else given


def work_off(
    sources: Sequence[Path],
    out: Path,
    command: str,
    secret: int,
    settings: dict[str, Any],
    change: Callable[[Path, Path], dict[str, Any]],
) -> Iterator[Outcome]:
    """Change files into a folder, each as soon as it is asked for; what the manifest says is done is left alone.

    change: writes a file from another and says what it did; its record holds `written`, the digest of the result. A
    file that fails takes only itself. Files and manifest are replaced as a whole. Raises InputError where the folder
    cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror or error}; choose another with --out") from None
    manifest = {f"linkbench_{command}": 1, "secret": secret, "photos": {}, **_read(out, command)}
    for source in sources:
        try:
            digest = digest_of(source)
            done = manifest["photos"].get(source.name)
            if done and done["source"] == digest and done["settings"] == settings and _stands(out / source.name, done):
                yield Outcome(source, done, skipped=True)
                continue
            record = change(source, out / source.name)
        except LinkbenchError as error:
            yield Outcome(source, None, str(error))
            continue
        record = {"source": digest, "settings": settings, **record}
        manifest["photos"][source.name] = record
        with replacing(out / manifest_name(command)) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        yield Outcome(source, record)


def manifest_name(command: str) -> str:
    """The name of the manifest that a command writes beside its results."""
    return f"linkbench-{command}.json"


def faces_in(photo: Photo) -> list[Face]:
    """The faces of a photo, the largest first. Raises InputError for none."""
    faces = find(photo)
    if not faces:
        raise InputError(f"photo {photo.path}: no face was found in it. Crop it around the face, or turn it upright")
    return faces


def digest_of(path: Path) -> str:
    """The SHA-256 of a photo file. Raises InputError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"photo {path} cannot be read: {error.strerror or error}") from None


def _stands(path: Path, done: dict[str, Any]) -> bool:
    return path.is_file() and digest_of(path) == done["written"]


def _read(out: Path, command: str) -> dict[str, Any]:
    """A command's manifest; nothing where there is none. Raises InputError for another file of that name."""
    path = out / manifest_name(command)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError):
        data = None
    if not isinstance(data, dict) or data.get(f"linkbench_{command}") != 1 or not isinstance(data.get("photos"), dict):
        raise InputError(f"{path} is no manifest of linkbench {command}; move it away, or choose another folder")
    return data
