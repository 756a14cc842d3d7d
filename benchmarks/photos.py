"""Real photos protected: how much is changed, and what networks still read, beside noise of the same size.

    python benchmarks/photos.py FOLDER [--epsilon 8/255] [--photos 40] [--sheet sheet.png]

FOLDER holds photos of faces; nothing of them is kept but the sheet that is asked for, to be kept out of the repository.
Prints one line for each network: the part of phenotypes that it reads as before the change, from the file itself and
after posting at half size as JPEG 80.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from linkbench.api.data import Array, most_likely
from linkbench.cli.protect import background_of
from linkbench.faces import Photo, Square, cut, find, paste, read
from linkbench.protection.album import photos_in
from linkbench.protection.background import Background
from linkbench.protection.postings import Posting, postings
from linkbench.protection.strength import apply, look, measure

PROTECTED, NOISE = "protected", "noise"
SHOWN = 256


def noisy(photo: Photo, squares: list[Square], epsilon: float, size: int, seed: int) -> Photo:
    """The faces changed by random signs of the same size, in the same squares."""
    for number, square in enumerate(squares):
        random = torch.Generator().manual_seed(1000 * seed + number)
        sign = torch.randint(0, 2, (3, size, size), generator=random).float() * 2 - 1
        photo = paste(photo, square, sign * epsilon)
    return photo


def same(background: Background, before: Array, after: Array) -> Array:
    """bool [V views, P], whether each phenotype is read as in the first photo's first view."""
    schema = background.people.schema
    held: Array = most_likely(after, schema) == most_likely(before[:1], schema)
    return held


def tile(photo: Photo, square: Square) -> Array:
    return (cut(photo, square, SHOWN)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def run(
    background: Background, files: list[Path], epsilon: float
) -> tuple[dict[tuple[str, str], list[Array]], list[Array]]:
    chosen: list[Posting] = [each for each in postings() if each.name.startswith("half size")]
    kept: dict[tuple[str, str], list[Array]] = {}
    tiles, changes, seconds = [], {PROTECTED: [], NOISE: []}, []
    for number, path in enumerate(files):
        began = time.perf_counter()
        photo = read(path)
        squares = [face.square for face in find(photo)[:1]]
        if not squares:
            print(f"{path.name}: no face")
            continue
        done = {PROTECTED: apply(photo, squares, background.defence(epsilon, number, 1), background.size)}
        seconds.append(time.perf_counter() - began)
        done[NOISE] = noisy(photo, squares, epsilon, background.size, number)
        (clean,) = look(photo, squares, background, chosen)
        for what, other in done.items():
            (seen,) = look(other, squares, background, chosen)
            changes[what].append(measure(photo, other, squares[0]))
            for name in seen:
                kept.setdefault((name, what), []).append(same(background, clean[name], seen[name]))
        for name in clean:
            kept.setdefault((name, "clean"), []).append(same(background, clean[name], clean[name]))
        tiles += [tile(each, squares[0]) for each in (photo, done[PROTECTED], done[NOISE])]
    for what, each in changes.items():
        linf, ssim, mean, high = np.mean(each, axis=0)
        print(
            f"{what}: at most {255 * linf:.1f}/255, SSIM {ssim:.4f}, "
            f"Delta E {mean:.2f} in the mean, {high:.2f} at the 95th percentile"
        )
    print(f"{len(seconds)} photos, {np.mean(seconds):.2f} s each to find and change the face")
    return kept, tiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epsilon", default="8/255")
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--scenario", type=Path)
    parser.add_argument("--store")
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    epsilon = float(Fraction(given.epsilon))
    background = background_of(given.scenario, given.store)
    kept, tiles = run(background, photos_in([given.folder])[: given.photos], epsilon)
    for opponent in background.opponents:
        for what in ("clean", PROTECTED, NOISE):
            file, posted = np.mean(kept[opponent.name, what], axis=(0, 2))
            seen = "seen" if opponent.seen else "never seen"
            print(f"{opponent.name} ({seen}), {what}: reads {file:.3f} as before from the file, {posted:.3f} posted")
    if given.sheet is not None:
        from PIL import Image

        rows = [np.concatenate(tiles[start : start + 6], axis=1) for start in range(0, len(tiles) // 6 * 6, 6)]
        Image.fromarray(np.concatenate(rows[:8])).save(given.sheet)


if __name__ == "__main__":
    main()
