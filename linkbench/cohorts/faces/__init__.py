"""Procedural face photos whose true phenotypes are known.

    photos = render(phenotypes, identities, photo_numbers, seed=1, size=64)

Every photo is a function of (seed, phenotypes, identity, photo number, size, confounders) alone,
byte for byte, however many are rendered together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields

import torch
from torch import Tensor

from linkbench.api.cores import cores

from .camera import develop
from .draws import keys, lattice
from .features import beard, brows, complexion, eyes, glasses, mouth, nostrils, spectacles
from .hair import hair, lay_hair
from .maths import Params, enlarge, lay, paint, slopes
from .scene import background, body, ears, occluded, occluders
from .shading import shade
from .shapes import Frame, Head, Planes, Surface, Texture, frame, head, nose, nose_coordinates, relief, some, window
from .traits import Confounders, draw

__all__ = ["BATCH", "PLAIN", "SIZES", "Confounders", "render", "render_batches"]

PLAIN = Confounders()
"""No confounders."""
BATCH = 24
"""Photos rendered together unless told: their planes stay in the caches of a core."""
SIZES = range(32, 257)

# Parts of the photo (left, right, bottom, top, -1..1) that hold a thing wherever pose and camera put it.
BODY = (-1.0, 1.0, -1.0, -0.10)
FACE = (-0.90, 0.90, -1.0, 1.0)
MOUTH = (-0.85, 0.85, -1.0, 0.12)
EYES = (-0.85, 0.85, -0.45, 0.75)


def render_batches(
    phenotypes: Tensor,
    identities: Tensor,
    photos: Tensor,
    *,
    seed: int,
    size: int = 64,
    confounders: Confounders = PLAIN,
    batch: int = BATCH,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """Face photos a batch at a time, as `render` makes them.

    phenotypes int64 [n,4]: sex, hair, eye, skin as in `linkbench.api.schema.PAPER`; identities int64 [n];
    photos int64 [n], the number of the photo of that person -> uint8 [up to batch,3,size,size] on `device`.
    """
    n = len(identities)
    if size not in SIZES:
        raise ValueError(f"photos are {SIZES[0]} to {SIZES[-1]} pixels wide, not {size}")
    if batch < 1:
        raise ValueError(f"a batch holds at least one photo, not {batch}")
    if phenotypes.shape != (n, 4) or photos.shape != (n,):
        raise ValueError(f"{n} identities need phenotypes [{n},4] and photos [{n}], "
                         f"got {list(phenotypes.shape)} and {list(photos.shape)}")  # fmt: skip
    return _stream(phenotypes, identities, photos, seed, size, confounders, batch, torch.device(device))


def render(
    phenotypes: Tensor,
    identities: Tensor,
    photos: Tensor,
    *,
    seed: int,
    size: int = 64,
    confounders: Confounders = PLAIN,
    batch: int = BATCH,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Face photos of people with these phenotypes.

    phenotypes int64 [n,4]: sex, hair, eye, skin as in `linkbench.api.schema.PAPER`; identities int64 [n];
    photos int64 [n], the number of the photo of that person -> uint8 [n,3,size,size] on `device`.
    """
    out = torch.empty(len(identities), 3, size, size, dtype=torch.uint8, device=device)
    done = 0
    for part in render_batches(phenotypes, identities, photos, seed=seed, size=size, confounders=confounders,
                               batch=batch, device=device):  # fmt: skip
        out[done : done + len(part)] = part
        done += len(part)
    return out


def _stream(phenotypes: Tensor, identities: Tensor, photos: Tensor, seed: int, size: int, confounders: Confounders,
            batch: int, device: torch.device) -> Iterator[Tensor]:  # fmt: skip
    def photograph(start: int) -> Tensor:
        part = slice(start, start + batch)
        moved = (rows[part].to(device, torch.int64) for rows in (phenotypes, identities, photos))
        with torch.inference_mode():
            stored = _photograph(*moved, seed=seed, size=size, confounders=confounders)
        return stored.clone()  # an ordinary tensor, which may be written to

    starts = range(0, len(identities), batch)
    if device.type != "cpu":
        yield from map(photograph, starts)
        return
    # Whole batches in parallel: the planes are too small for threads to share one, and threads that wait
    # for each other a thousand times a batch come to a standstill as soon as a core is busy otherwise.
    threads, before = cores(), torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            pending: deque[Future[Tensor]] = deque()
            for start in starts:
                pending.append(pool.submit(photograph, start))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
    finally:
        torch.set_num_threads(before)  # it is global to threads yet to start


def _photograph(phenotypes: Tensor, identities: Tensor, photos: Tensor, *, seed: int, size: int,
                confounders: Confounders) -> Tensor:  # fmt: skip
    """One batch, from parameters to bytes: the scene is painted from the back to the front, then lit."""
    p = draw(phenotypes, identities, photos, seed, confounders)
    who, when = keys(seed, identities), keys(seed, identities, photos)
    mottle = enlarge(lattice(who, "mottle", 9, 9), size, size)
    fine = enlarge(lattice(who, "fine", 30, 30), size, size)
    f = frame(p, size)
    h = head(p, f)
    locks = hair(p, f, h, mottle, fine)
    texture = Texture(mottle, fine, locks.strands)

    s = background(p, when, f, size)
    lay_hair(p, f, s, locks, locks.back, 0.62)
    lay(s.depth, locks.depth * 0.6 - 0.25, locks.back)
    body(p, window(f, *BODY), window(s, *BODY), window(texture, *BODY))
    ears(p, window(f, *EYES), window(s, *EYES))
    _face(p, window(f, *FACE), window(h, *FACE), window(s, *FACE), window(texture, *FACE))
    for paint_on in (nostrils, beard, mouth):
        paint_on(p, window(h, *MOUTH), window(s, *MOUTH), window(f, *MOUTH), window(texture, *MOUTH))
    for paint_on in (eyes, brows):
        paint_on(p, window(h, *EYES), window(s, *EYES), window(f, *EYES), window(texture, *EYES))
    _on_some(glasses(p), spectacles, p, window(s, *EYES), window(h, *EYES), window(f, *EYES))
    lay_hair(p, f, s, locks, locks.front, 1.0)
    lay(s.depth, locks.depth + 0.06, locks.front)
    _on_some(occluded(p), occluders, p, s, f)
    return develop(p, when, shade(p, f, s, confounders.coloured_light), confounders)


def _on_some(which: Tensor, paint_on: Callable[..., None], p: Params, s: Surface, *planes: Planes) -> None:
    """Paints only the photos for which `which`, bool [n,1,1], holds: what is rare should cost little."""
    rows = which[:, 0, 0].nonzero()[:, 0]
    if len(rows):
        part = some(s, rows)
        paint_on({name: value[rows] for name, value in p.items()}, part, *(some(each, rows) for each in planes))
        for field in fields(s):
            getattr(s, field.name)[rows] = getattr(part, field.name)


def _face(p: Params, f: Frame, h: Head, s: Surface, texture: Texture) -> None:
    """The skin and the relief of the face."""
    depth = h.depth + relief(p, h.u, h.v) + nose(p, *nose_coordinates(p, h))
    paint(s.colour, complexion(p, h, texture), h.cover)
    for plane, value in zip((s.depth, s.dx, s.dy), (depth, *slopes(depth, f.pixel)), strict=True):
        lay(plane, value, h.cover)
    lay(s.gloss, 0.8, h.cover)
    lay(s.flesh, 1.0, h.cover)
