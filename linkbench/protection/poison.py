"""One pattern for all photos of a person: whoever trains on them shall learn the pattern instead of the face."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from linkbench.api import seeds
from linkbench.api.schema import Schema
from linkbench.faces import cut, read, write
from linkbench.protection.album import Outcome, digest_of, faces_in, work_off
from linkbench.protection.postings import postings, views
from linkbench.protection.strength import apply, measure

if TYPE_CHECKING:
    from torch import Tensor

    from linkbench.faces.geometry import Square
    from linkbench.faces.photo import Photo
    from linkbench.harness.defend import Defence

COMMAND = "poison"
"""Whose manifest lies beside the results."""

Pattern = Literal["rademacher", "lsp", "autoregressive"]
"""Those that need nothing but a secret; `one-pixel` would search the album, `mean-shift` is a mere tint."""

SIZE = 64
"""Edge of the pattern in pixels before it is enlarged over the head, as the networks of the benchmark see faces."""

PEOPLE = Schema({"person": ("owner of the album", "anybody else")})
"""Classes of the poison. Of the second no photo is published; it is there because a shortcut tells classes apart."""

STAND_INS = 128
"""Rendered people that the pattern is fitted to. Not to the album: photos added later would get another one."""


class PoisonWish(NamedTuple):
    """What is wanted of every photo. epsilon: largest change of a colour, in [0, 1]; secret: draws the pattern."""

    pattern: Pattern
    epsilon: float
    keep_metadata: bool
    secret: int


def poison_files(sources: Sequence[Path], out: Path, wish: PoisonWish) -> Iterator[Outcome]:
    """Poison files into a folder, as `work_off` does. Raises InputError where the folder cannot be written."""
    settings = {"pattern": wish.pattern, "epsilon": wish.epsilon, "keep_metadata": wish.keep_metadata}
    return work_off(
        sources, out, COMMAND, wish.secret, settings,
        lambda source, result: poison_file(source, result, wish),
    )  # fmt: skip


def poison_file(source: Path, out: Path, wish: PoisonWish) -> dict[str, Any]:
    """Add the pattern to the largest face of a photo, write it, and look at what was written: the manifest's record.

    `left`: how much of the pattern is in the file, and in the file posted, 1 for all of it. Raises InputError where
    the file cannot be read or shows no face.
    """
    photo = read(source)
    face, *others = faces_in(photo)
    defence = poison_for(wish.pattern, wish.epsilon, wish.secret, digest_of(source))
    poisoned = apply(photo, [face.square], defence, SIZE)
    write(poisoned, out, keep_metadata=wish.keep_metadata)
    written = read(out)
    change = cut(poisoned, face.square, SIZE) - cut(photo, face.square, SIZE)
    return {
        "written": digest_of(out),
        "lost": list(photo.lost),
        "place": {"x": round(face.x), "y": round(face.y), "side": round(face.side), "detectors": face.votes},
        "faces_left_alone": len(others),
        "changed": {name: round(value, 5) for name, value in measure(photo, written, face.square)._asdict().items()},
        "left": _left(photo, written, face.square, change),
    }


def poison_for(pattern: Pattern, epsilon: float, secret: int, digest: str) -> Defence:
    """The defender `shortcut` at work on one photo of the person whose pattern a secret draws.

    digest: of the photo's file; it names the random numbers of patterns that vary from photo to photo.
    """
    from linkbench.harness.defend import Defence

    defence = _learned(pattern, epsilon, secret)
    known = defence.known._replace(seed=seeds.derive(secret, COMMAND, digest))
    return Defence(defence.defender, known, defence.who, defence.learned)


@functools.lru_cache(maxsize=1)
def _learned(pattern: Pattern, epsilon: float, secret: int) -> Defence:
    """The defender with the patterns of both classes drawn. Photo 0 is the owner's, as is the first stand-in."""
    from linkbench.defenders.shortcut import Shortcut
    from linkbench.harness.defend import Defence
    from linkbench.harness.knowledge import Known, study_set

    defender = Shortcut(pattern=pattern, epsilon=epsilon, phenotype="person")
    index = np.arange(STAND_INS)
    known = Known(PEOPLE, seeds.derive(secret, COMMAND), labels=(index[:, None] > 0).astype(np.int64), identity=index)
    defence = Defence(defender, known, f"defender shortcut, pattern {pattern}")
    faces = _stand_ins()
    defence.learn(
        study_set(
            defender, known, lambda chosen: faces[chosen], index, keys=index, size=SIZE, device="cpu",
            seed=seeds.derive(secret, COMMAND, "learn"),
        )
    )  # fmt: skip
    return defence


def _stand_ins() -> Tensor:
    """Rendered people, float32 [STAND_INS, 3, SIZE, SIZE] in [0, 1], always the same."""
    import torch

    from linkbench.api.schema import PAPER
    from linkbench.cohorts.faces import render

    random = seeds.generator(0, COMMAND, "stand-ins")
    looks = np.stack([random.integers(0, len(PAPER[name]), STAND_INS) for name in PAPER], axis=1)
    first = torch.zeros(STAND_INS, dtype=torch.int64)
    return render(torch.from_numpy(looks), torch.arange(STAND_INS), first, seed=0, size=SIZE).float() / 255


def _left(photo: Photo, written: Photo, square: Square, change: Tensor) -> dict[str, float]:
    """The length of what a viewer sees changed, along the change that was meant, as part of it: file and postings."""
    chosen = postings()
    before, after = (views(each, [square], SIZE, chosen)[:, 0] for each in (photo, written))
    parts = ((after - before) * change).flatten(1).sum(1) / change.square().sum().clamp(min=1e-12)
    names = ["file", *(posting.name for posting in chosen)]
    return {name: round(float(part), 3) for name, part in zip(names, parts, strict=True)}
